"""An encoder with a depth head."""

from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.adapters.depth.pyramid import PyramidHead
from sslhsic_transfer.adapters.depth.upprojection import UpProjectionHead
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder, as_encoder

Head = Literal["upproj", "dpt"]


class DepthModel(nn.Module):
    """An encoder with a head that predicts depth in meters from normalized pictures.

    >>> model = DepthModel("org/name", head="dpt", cap=10.0)
    >>> depth = model(images)  # (B, 3, H, W) -> (B, 1, H, W), between 0 and the cap

    Args:
        encoder: an encoder, which is copied, or what `from_pretrained` takes.
        head: ``"upproj"``, the decoder of Laina et al. that BYOL's protocol uses, or ``"dpt"``, multi-scale.
        cap: largest depth in meters; the prediction is ``cap · sigmoid``. None: softplus, unbounded.
        freeze_at: parts that do not train: see `DenseBackbone`.
        norm_eval: whether the backbone's batch statistics stay fixed.

    Raises:
        ConfigError: there is no such head.
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        head: Head = "upproj",
        *,
        cap: float | None = 10.0,
        freeze_at: int = 0,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ConfigError(f"Got head={head!r}; expected one of {', '.join(get_args(Head))}.")
        encoder = as_encoder(encoder)
        specs = encoder.specs
        kind = UpProjectionHead if head == "upproj" else PyramidHead
        self.backbone = DenseBackbone(encoder, kind.stages, freeze_at=freeze_at, norm_eval=norm_eval)
        self.head: nn.Module = (
            UpProjectionHead(specs["c5"].channels)
            if head == "upproj"
            else PyramidHead([spec.channels for spec in specs.values()])
        )
        self.cap = cap

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W), normalized by the encoder's preprocessing, to depth (B, 1, H, W) in meters."""
        raw = self.head(self.backbone(images))
        raw = F.interpolate(raw.float(), size=images.shape[-2:], mode="bilinear", align_corners=False)
        return F.softplus(raw) if self.cap is None else self.cap * raw.sigmoid()
