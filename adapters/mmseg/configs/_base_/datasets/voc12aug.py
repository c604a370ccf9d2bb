"""PASCAL VOC 2012: 10,582 pictures in train_aug, 1,449 in val."""

_base_ = "data.py"

data_root = "data/VOCdevkit/VOC2012"
num_classes = 21
crop_size = (513, 513)
train_pipeline = [*_base_.load, _base_.scale, dict(type="RandomCrop", crop_size=crop_size), *_base_.flip_and_pack]
train_dataloader = dict(dataset=dict(data_root=data_root, split="train_aug", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, split="val"))
test_dataloader = val_dataloader
