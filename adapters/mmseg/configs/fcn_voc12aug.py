r"""FCN on PASCAL VOC 2012 by the protocol of BYOL's appendix D.4, which SSL-HSIC follows; 30,000 batches of 16.

Evaluated on whole pictures, which are smaller than the protocol's central crop of 513.

torchrun --nproc_per_node=8 $TOOLS/train.py $CONFIGS/fcn_voc12aug.py --launcher pytorch \
    --cfg-options model.backbone.model=MODEL data_root=DATA
$CONFIGS and $TOOLS: see the guide, "Dense tasks", mmsegmentation.
"""

_base_ = ["_base_/models/fcn.py", "_base_/datasets/voc12aug.py", "_base_/schedules/steps_30k.py", "_base_/runtime.py"]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=_base_.num_classes))
