"""Small detectors, built as Detectron2 builds them."""

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from sslhsic_transfer.adapters.detectron2 import configure, load_config

SMALL = {
    "MODEL.FPN.OUT_CHANNELS": 32,
    "MODEL.RPN.CONV_DIMS": [32],
    "MODEL.RETINANET.NUM_CONVS": 1,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 4,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 64,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 32,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 64,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 16,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
}


def small_config(name: str, source, **options) -> CfgNode:
    cfg = load_config(name)
    configure(cfg, source)
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list([part for setting in SMALL.items() for part in setting])
    cfg.MODEL.RESNETS.NORM = options.get("norm", "BN")
    cfg.MODEL.FPN.NORM = ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = 3
    cfg.MODEL.BACKBONE.FREEZE_AT = options.get("freeze_at", 0)
    cfg.MODEL.SSLHSIC.NORM_EVAL = options.get("norm_eval", False)
    return cfg


def loss_of(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(0)
    objects = Instances((64, 96))
    objects.gt_boxes, objects.gt_classes = Boxes(torch.tensor([[8.0, 8.0, 60.0, 50.0]])), torch.tensor([1])
    with EventStorage():
        losses = model([{"image": torch.rand(3, 64, 96) * 255, "instances": objects} for _ in range(2)])
    return sum(losses.values())


def build(name: str, source, **options) -> nn.Module:
    return build_model(small_config(name, source, **options))
