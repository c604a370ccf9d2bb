"""DeepLabV3+ (https://arxiv.org/abs/1802.02611) at output stride 16, with the paper's rates for it."""

_base_ = "auxiliary.py"

model = dict(
    backbone=dict(output_stride=16),
    decode_head=dict(
        type="DepthwiseSeparableASPPHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        dilations=(1, 6, 12, 18),
        c1_in_channels=256,
        c1_channels=48,
        dropout_ratio=0.1,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
)
