"""CamVid in the layout of SegNet: 367 pictures in train, 101 in val, 11 classes."""

_base_ = "data.py"

data_root = "data/camvid"
num_classes = 11
crop_size = (360, 360)
train_pipeline = [
    *_base_.load,
    _base_.scale,
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    *_base_.flip_and_pack,
]
train_dataloader = dict(dataset=dict(data_root=data_root, split="train", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, split="val"))
test_dataloader = val_dataloader
