"""DeepLabV3, FCN and LR-ASPP over an encoder, as torchvision builds them."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.hub.encoder import Encoder, as_encoder
from sslhsic_transfer.models.backbone import OutputStride
from sslhsic_transfer.models.config import STAGES, Stage

_PLAIN: Mapping[str, Stage] = {"out": "c5"}
_AUXILIARY: Mapping[str, Stage] = {"out": "c5", "aux": "c4"}


class NamedMaps(nn.Module):
    """Wrapper that returns an encoder's maps under the names that torchvision's segmentation networks expect.

    Args:
        body: the encoder, which returns maps.
        names: the stage of each of torchvision's names.
    """

    def __init__(self, body: DenseBackbone, names: Mapping[str, Stage]) -> None:
        super().__init__()
        self.body = body
        self._names = dict(names)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map normalized pictures (B, 3, H, W) to {name: map}."""
        maps = self.body(images)
        return OrderedDict((name, maps[stage]) for name, stage in self._names.items())


def deeplabv3(
    encoder: Encoder | str | Path,
    num_classes: int,
    *,
    output_stride: OutputStride = 8,
    auxiliary: bool = False,
    freeze_at: int = 0,
    norm_eval: bool = False,
) -> DeepLabV3:
    """Build DeepLabV3 (https://arxiv.org/abs/1706.05587).

    Args:
        encoder: an encoder, which is copied, or what `from_pretrained` takes.
        num_classes: number of classes, including the background if it is one.
        output_stride: stride of the last map, by dilation; torchvision's own networks have 8.
        auxiliary: whether a second head learns from c4: ``model(images)["aux"]``.
        freeze_at: parts that do not train: see `DenseBackbone`.
        norm_eval: whether batch statistics stay fixed.

    Returns:
        Torchvision's network, in train mode, from pictures (B, 3, H, W), normalized by ``encoder.preprocessing``, to
        {"out": (B, num_classes, H, W)}. ``model.backbone.body.report`` lists the loaded weights.
    """
    backbone = _backbone(encoder, _AUXILIARY if auxiliary else _PLAIN, output_stride, freeze_at, norm_eval)
    return DeepLabV3(backbone, DeepLabHead(_channels(backbone, "c5"), num_classes), _second(backbone, num_classes))


def fcn(
    encoder: Encoder | str | Path,
    num_classes: int,
    *,
    output_stride: OutputStride = 8,
    auxiliary: bool = False,
    freeze_at: int = 0,
    norm_eval: bool = False,
) -> FCN:
    """Build a fully convolutional network with one 3×3 layer over c5; arguments and result as for `deeplabv3`."""
    backbone = _backbone(encoder, _AUXILIARY if auxiliary else _PLAIN, output_stride, freeze_at, norm_eval)
    return FCN(backbone, FCNHead(_channels(backbone, "c5"), num_classes), _second(backbone, num_classes))


def lraspp(
    encoder: Encoder | str | Path,
    num_classes: int,
    *,
    output_stride: OutputStride = 16,
    freeze_at: int = 0,
    norm_eval: bool = False,
) -> LRASPP:
    """Build the fast Lite R-ASPP (https://arxiv.org/abs/1905.02244) over c3 and c5; arguments as for `deeplabv3`."""
    backbone = _backbone(encoder, {"low": "c3", "high": "c5"}, output_stride, freeze_at, norm_eval)
    return LRASPP(backbone, _channels(backbone, "c3"), _channels(backbone, "c5"), num_classes)


def _backbone(
    source: Encoder | str | Path,
    names: Mapping[str, Stage],
    output_stride: OutputStride,
    freeze_at: int,
    norm_eval: bool,
) -> NamedMaps:
    stages = [stage for stage in STAGES if stage in names.values()]
    body = DenseBackbone(
        as_encoder(source), stages, output_stride=output_stride, freeze_at=freeze_at, norm_eval=norm_eval
    )
    return NamedMaps(body, names)


def _channels(backbone: NamedMaps, stage: Stage) -> int:
    return backbone.body.specs[stage].channels


def _second(backbone: NamedMaps, num_classes: int) -> FCNHead | None:
    return FCNHead(_channels(backbone, "c4"), num_classes) if "c4" in backbone.body.specs else None
