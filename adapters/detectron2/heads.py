"""The encoder's last stage as the region head of C4 detectors."""

from pathlib import Path
from typing import cast

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.layers import get_norm
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import Res5ROIHeads
from torch import Tensor, nn

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.adapters.detectron2.backbone import Norm, checked_encoder, convert_norms, encoder_of, leave_out
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import PARTS
from sslhsic_transfer.models.resnet import ResNet


class EncoderRes5(DenseBackbone):
    """A copy of an encoder's last stage, applied to the features of regions.

    Args:
        encoder: the encoder to copy, or what `from_pretrained` takes.
        norm: normalization of the stage and of the extra layer, as for `SSLHSICBackbone`.
        freeze_at: 5 freezes the stage.
        norm_eval: whether statistics are fixed while scales and offsets train.
        extra_norm: whether an extra normalization follows, as in MoCo's protocol. Encoders have features of very
            different scales, and detectors are tuned to those of supervised ones.

    Attributes:
        out_channels: number of output channels.
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        *,
        norm: Norm = "BN",
        freeze_at: int = 0,
        norm_eval: bool = False,
        extra_norm: bool = True,
    ) -> None:
        encoder = checked_encoder(encoder, norm)
        if not isinstance(encoder.backbone, ResNet):
            raise ConfigError(
                f"The head of a C4 detector is a ResNet's last stage over regions; got {encoder.config.architecture}. "
                "Use a detector with a feature pyramid, such as faster_rcnn_fpn."
            )
        super().__init__(encoder, ("c5",), freeze_at=freeze_at, norm_eval=norm_eval)
        leave_out(self, PARTS[:-1])
        convert_norms(self, norm)
        self.out_channels = self.specs["c5"].channels
        kind = "BN" if norm == "FrozenBN" else norm  # a new layer has no statistics to freeze
        self.norm: nn.Module = get_norm(kind, self.out_channels) if extra_norm else nn.Identity()
        self.train(self.training)

    def train(self, mode: bool = True) -> "EncoderRes5":
        """Set train or eval mode as in `DenseBackbone`; the new layer after the stage is never frozen."""
        super().train(mode)
        if (new := getattr(self, "norm", None)) is not None:
            new.train(mode)
        return self

    def forward(self, regions: Tensor) -> Tensor:  # type: ignore[override]
        """Map features of res4 (R, C, h, w) to (R, out_channels, ⌈h/2⌉, ⌈w/2⌉)."""
        return cast(Tensor, self.norm(cast(nn.Module, self.layer4)(regions)))


@ROI_HEADS_REGISTRY.register()
class SSLHSICRes5ROIHeads(Res5ROIHeads):
    """Detectron2's C4 heads, with the encoder's last stage as res5."""

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[EncoderRes5, int]:
        res5 = EncoderRes5(
            encoder_of(cfg),
            norm=cfg.MODEL.RESNETS.NORM,
            freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
            norm_eval=cfg.MODEL.SSLHSIC.NORM_EVAL,
            extra_norm=cfg.MODEL.SSLHSIC.EXTRA_NORM,
        )
        return res5, res5.out_channels
