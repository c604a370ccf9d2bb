"""The up-projection decoder of Laina et al. (https://arxiv.org/abs/1606.00373, section 3), in its fast form."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.models.config import Stage


class FastUpConvolution(nn.Module):
    """A 5×5 convolution after upsampling by 2 with zeros, without computing with the zeros.

    Only 9, 6, 6 or 4 of the 25 weights meet a value, depending on the parity of row and column. Four small
    convolutions, one for each parity, are therefore enough; their results are interleaved.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even_even = nn.Conv2d(inputs, outputs, (3, 3))
        self.even_odd = nn.Conv2d(inputs, outputs, (3, 2))
        self.odd_even = nn.Conv2d(inputs, outputs, (2, 3))
        self.odd_odd = nn.Conv2d(inputs, outputs, (2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2H, 2W)."""
        rows = [
            torch.stack([self.even_even(F.pad(x, (1, 1, 1, 1))), self.even_odd(F.pad(x, (0, 1, 1, 1)))], dim=-1),
            torch.stack([self.odd_even(F.pad(x, (1, 1, 0, 1))), self.odd_odd(F.pad(x, (0, 1, 0, 1)))], dim=-1),
        ]
        return torch.stack([row.flatten(-2) for row in rows], dim=-2).flatten(-3, -2)


class UpProjection(nn.Module):
    """Residual block of fast up-convolutions, with twice the size and usually half the channels.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            FastUpConvolution(inputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(FastUpConvolution(inputs, outputs), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2H, 2W)."""
        return F.relu(self.branch(x) + self.shortcut(x))


class UpProjectionHead(nn.Module):
    """The decoder of the NYU protocol: a 1×1 convolution, four up-projections, a 3×3 convolution.

    For ResNet-50 the channels are 2048 → 1024 → 512, 256, 128, 64 → 1, as in the paper; for other encoders they are
    halved in the same way. The result has half the picture's size if c5 has stride 32.

    Args:
        channels: number of channels of c5.
    """

    stages: tuple[Stage, ...] = ("c5",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels // 2**step for step in range(1, 6)]
        self.reduce = nn.Sequential(nn.Conv2d(channels, widths[0], 1, bias=False), nn.BatchNorm2d(widths[0]))
        self.up = nn.Sequential(*(UpProjection(a, b) for a, b in pairwise(widths)))
        self.predict = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Map {"c5": (B, C, H, W)} to an unbounded (B, 1, 16 H, 16 W)."""
        prediction: Tensor = self.predict(self.up(self.reduce(maps["c5"])))
        return prediction
