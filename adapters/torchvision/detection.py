"""Faster R-CNN, Mask R-CNN and RetinaNet with a feature pyramid over an encoder, as torchvision builds them."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.hub.encoder import Encoder, as_encoder
from sslhsic_transfer.models.config import Stage

PYRAMID_CHANNELS = 256


class PyramidBackbone(nn.Module):
    """An encoder with a feature pyramid: the ``backbone`` of torchvision's detectors.

    Args:
        body: the encoder, which returns maps.
        extra: block that makes the coarsest levels.

    Attributes:
        out_channels: channels of every level.
    """

    def __init__(self, body: DenseBackbone, extra: ExtraFPNBlock) -> None:
        super().__init__()
        self.body = body
        channels = [spec.channels for spec in body.specs.values()]
        self.fpn = FeaturePyramidNetwork(channels, PYRAMID_CHANNELS, extra)
        self.out_channels = PYRAMID_CHANNELS

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map pictures (B, 3, H, W) to levels from fine to coarse: ``"0"``, ``"1"``, …, and those of ``extra``."""
        maps = self.body(images)
        levels: dict[str, Tensor] = self.fpn(OrderedDict((str(i), level) for i, level in enumerate(maps.values())))
        return levels


def faster_rcnn(
    encoder: Encoder | str | Path, num_classes: int, *, freeze_at: int = 0, norm_eval: bool = False, **options: Any
) -> FasterRCNN:
    """Build Faster R-CNN with a feature pyramid.

    Args:
        encoder: an encoder, which is copied, or what `from_pretrained` takes.
        num_classes: number of classes including the background, which is torchvision's class 0.
        freeze_at: parts that do not train: see `DenseBackbone`.
        norm_eval: whether batch statistics stay fixed; for batches of one or two pictures per GPU.
        options: options of torchvision's `FasterRCNN`, such as ``min_size=320, box_detections_per_img=50``.

    Returns:
        Torchvision's network, in train mode. It takes RGB pictures on [0, 1] of any sizes and normalizes them by the
        encoder's mean and standard deviation. Boxes are float32, also under autocast. ``model.backbone.body.report``
        lists the loaded weights.
    """
    backbone, normalize = _backbone(encoder, ("c2", "c3", "c4", "c5"), LastLevelMaxPool(), freeze_at, norm_eval)
    model = FasterRCNN(backbone, num_classes, **normalize | options)
    _float32_of(model.rpn.head, model.roi_heads.box_predictor)
    return model


def mask_rcnn(
    encoder: Encoder | str | Path, num_classes: int, *, freeze_at: int = 0, norm_eval: bool = False, **options: Any
) -> MaskRCNN:
    """Build Mask R-CNN with a feature pyramid; arguments as for `faster_rcnn`."""
    backbone, normalize = _backbone(encoder, ("c2", "c3", "c4", "c5"), LastLevelMaxPool(), freeze_at, norm_eval)
    model = MaskRCNN(backbone, num_classes, **normalize | options)
    _float32_of(model.rpn.head, model.roi_heads.box_predictor)
    return model


def retinanet(
    encoder: Encoder | str | Path, num_classes: int, *, freeze_at: int = 0, norm_eval: bool = False, **options: Any
) -> RetinaNet:
    """Build RetinaNet over levels 3 to 7; arguments as for `faster_rcnn`."""
    extra = LastLevelP6P7(PYRAMID_CHANNELS, PYRAMID_CHANNELS)
    backbone, normalize = _backbone(encoder, ("c3", "c4", "c5"), extra, freeze_at, norm_eval)
    model = RetinaNet(backbone, num_classes, **normalize | options)
    _float32_of(model.head)
    return model


def _float32_of(*heads: nn.Module) -> None:
    """Make heads return float32, also under autocast.

    Torchvision converts boxes to the precision of the predicted offsets. bfloat16 can distinguish adjacent pixels only
    up to 256: proposals would move, and a true box of one pixel would become empty, with a loss of NaN.
    """
    for head in heads:
        head.register_forward_hook(_to_float32)


def _to_float32(_head: nn.Module, _inputs: Any, outputs: Any) -> Any:
    return tree_map_only(Tensor, Tensor.float, outputs)


def _backbone(
    source: Encoder | str | Path, stages: tuple[Stage, ...], extra: ExtraFPNBlock, freeze_at: int, norm_eval: bool
) -> tuple[PyramidBackbone, dict[str, Any]]:
    """Build the backbone, and the detector's options that normalize pictures."""
    encoder = as_encoder(source)
    body = DenseBackbone(encoder, stages, freeze_at=freeze_at, norm_eval=norm_eval)
    preprocessing = encoder.preprocessing
    normalize = {"image_mean": list(preprocessing.mean), "image_std": list(preprocessing.std)}
    return PyramidBackbone(body, extra), normalize
