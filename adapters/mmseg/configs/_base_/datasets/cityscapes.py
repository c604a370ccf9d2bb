"""Cityscapes: 2,975 finely annotated pictures in train, 500 in val."""

_base_ = "data.py"

data_root = "data/cityscapes"
num_classes = 19
crop_size = (769, 769)
train_pipeline = [
    *_base_.load,
    _base_.scale,
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    *_base_.flip_and_pack,
]
train_dataloader = dict(dataset=dict(data_root=data_root, split="train", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, split="val"))
test_dataloader = val_dataloader
