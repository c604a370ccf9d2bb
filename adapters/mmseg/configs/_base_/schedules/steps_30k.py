"""BYOL's schedule on VOC: SGD, 30,000 iterations, the rate divided by 10 after 70 % and 90 % of them.

BYOL chose its rate by a sweep that it does not publish; 0.003 is MoCo's for the same network, data and batch.
"""

optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.003, momentum=0.9, weight_decay=1e-4), clip_grad=None
)
param_scheduler = [dict(type="MultiStepLR", milestones=[21000, 27000], gamma=0.1, by_epoch=False)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=30000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
