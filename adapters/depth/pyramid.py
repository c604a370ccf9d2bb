"""A multi-scale head that fuses the features of all stages from coarse to fine, as DPT does (arXiv 2103.13413)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.models.config import STAGES, Stage


class _Refinement(nn.Module):
    """Residual block of two 3×3 convolutions, each after its activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = x + self.layers(x)
        return refined


class _Fusion(nn.Module):
    """Block that resizes the result of the coarser levels to this level and adds it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.here, self.both = _Refinement(channels), _Refinement(channels)

    def forward(self, level: Tensor, coarser: Tensor | None) -> Tensor:
        x = self.here(level)
        if coarser is not None:
            x = x + F.interpolate(coarser, size=level.shape[-2:], mode="bilinear", align_corners=False)
        fused: Tensor = self.both(x)
        return fused


class PyramidHead(nn.Module):
    """Head that fuses c5, c4, c3 and c2, then predicts at twice the size of c2.

    Args:
        channels: numbers of channels of c2, c3, c4 and c5.
        width: number of channels of the fused levels.
    """

    stages: tuple[Stage, ...] = STAGES

    def __init__(self, channels: Sequence[int], width: int = 128) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1, bias=False) for c in channels)
        self.fuse = nn.ModuleList(_Fusion(width) for _ in channels)
        self.smooth = nn.Conv2d(width, width // 2, 3, padding=1)
        self.predict = nn.Sequential(
            nn.Conv2d(width // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
        )

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Map {stage: (B, C, H/stride, W/stride)} to an unbounded (B, 1, H', W'), twice the size of c2."""
        fused: Tensor | None = None
        for project, fuse, stage in reversed(list(zip(self.project, self.fuse, self.stages, strict=True))):
            fused = fuse(project(maps[stage]), fused)
        assert fused is not None
        larger = F.interpolate(self.smooth(fused), scale_factor=2.0, mode="bilinear", align_corners=False)
        prediction: Tensor = self.predict(larger)
        return prediction
