"""FCN of BYOL's appendix D.4: conv5 dilated by 2, then two 3×3 layers of 256 channels, dilated by 6, and a 1×1."""

_base_ = "segmentor.py"

model = dict(
    backbone=dict(output_stride=16),
    decode_head=dict(
        type="FCNHead",
        in_channels=2048,
        in_index=3,
        channels=256,
        num_convs=2,
        kernel_size=3,
        dilation=6,
        concat_input=False,
        dropout_ratio=0,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
)
