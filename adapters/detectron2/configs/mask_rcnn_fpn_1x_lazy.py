"""LazyConfig of Mask R-CNN R50-FPN on COCO 2017, 90k iterations (1x), with all layers trained.

On 8 GPUs, with tools/lazyconfig_train_net.py of Detectron2's sources and the data under $DETECTRON2_DATASETS:
    CONFIG=$(python -m sslhsic_transfer.adapters.detectron2.config mask_rcnn_fpn_1x_lazy)
    python tools/lazyconfig_train_net.py --config-file $CONFIG --num-gpus 8 \
        model.backbone.bottom_up.encoder=org/name train.output_dir=runs/coco
"""

from sslhsic_transfer.adapters.detectron2.lazy import use_encoder

# isort: split
from detectron2 import model_zoo

dataloader = model_zoo.get_config("common/data/coco.py").dataloader
lr_multiplier = model_zoo.get_config("common/coco_schedule.py").lr_multiplier_1x
optimizer = model_zoo.get_config("common/optim.py").SGD
train = model_zoo.get_config("common/train.py").train
model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model

use_encoder(model, dataloader)
model.backbone.norm = "SyncBN"
optimizer.params.model = model
train.init_checkpoint = ""
train.max_iter = 90000
