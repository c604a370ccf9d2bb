"""Loading and augmentation shared by the data sets: batches of 16 on 8 GPUs, whole pictures for evaluation."""

load = [dict(type="LoadSSLHSICPicture"), dict(type="LoadSSLHSICMask")]
scale = dict(type="SSLHSICRandomScale", ratio_range=(0.5, 2.0))
flip_and_pack = [dict(type="RandomFlip", prob=0.5), dict(type="PackSegInputs")]
# MMSegInferencer asks for mmseg's reader, which by this backend reads what LoadSSLHSICPicture does.
read = dict(type="LoadImageFromFile", backend_args=dict(backend="sslhsic"))
test_pipeline = [read, dict(type="LoadSSLHSICMask"), dict(type="PackSegInputs")]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SSLHSICDataset"),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="SSLHSICDataset", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
