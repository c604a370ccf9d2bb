"""MoCo's schedule on Cityscapes: rate 0.01, 90,000 iterations, divided by 10 after 70 % and 90 % of them."""

_base_ = "steps_30k.py"

optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [dict(type="MultiStepLR", milestones=[63000, 81000], gamma=0.1, by_epoch=False)]
train_cfg = dict(max_iters=90000)
