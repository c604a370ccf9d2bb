"""ADE20K (SceneParse150): 20,210 training pictures, 2,000 validation pictures."""

_base_ = "data.py"

data_root = "data/ADEChallengeData2016"
num_classes = 150
crop_size = (512, 512)
train_pipeline = [
    *_base_.load,
    _base_.scale,
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    *_base_.flip_and_pack,
]
train_dataloader = dict(dataset=dict(data_root=data_root, split="training", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, split="validation"))
test_dataloader = val_dataloader
