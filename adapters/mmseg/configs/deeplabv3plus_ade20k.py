r"""DeepLabV3+ on ADE20K: 80,000 batches of 16.

torchrun --nproc_per_node=8 $TOOLS/train.py $CONFIGS/deeplabv3plus_ade20k.py --launcher pytorch \
    --cfg-options model.backbone.model=MODEL data_root=DATA
$CONFIGS and $TOOLS: see the guide, "Dense tasks", mmsegmentation.
"""

_base_ = [
    "_base_/models/deeplabv3plus.py",
    "_base_/datasets/ade20k.py",
    "_base_/schedules/poly_80k.py",
    "_base_/runtime.py",
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
