"""A second head, which learns from c4 as in mmseg's own DeepLabV3+ and UPerNet."""

_base_ = "segmentor.py"

model = dict(
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=0.4),
    ),
)
