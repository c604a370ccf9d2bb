"""Encoder and decoder; MODEL is a placeholder for ``--cfg-options model.backbone.model=…``.

Channels and normalization are those of an ImageNet ResNet-50; SSLHSICRunner sets them to the encoder's.
"""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type="SSLHSICEncoder", model="MODEL", out_indices=(0, 1, 2, 3), norm_cfg=norm_cfg),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
