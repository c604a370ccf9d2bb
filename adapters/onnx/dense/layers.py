"""Replacements for layers that torch can export only at a fixed size."""

from typing import Any

import torch
from torch import Tensor, nn


class AdaptiveAverage(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, whose matrices depend on the size of the input.

    Args:
        rows: number of bins along the height.
        columns: number of bins along the width.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, maps: Tensor) -> Tensor:
        """Average (B, C, H, W) over bins to (B, C, rows, columns)."""
        height, width = maps.shape[-2:]
        return _shares(height, self.rows, maps) @ maps @ _shares(width, self.columns, maps).transpose(0, 1)


def exportable(network: nn.Module) -> nn.Module:
    """Replace a network's adaptive average pooling, in place."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.AdaptiveAvgPool2d) and name:
            rows, columns = _bins(layer.output_size)
            if (rows, columns) != (1, 1):  # a single bin is a plain mean
                parent, _, attribute = name.rpartition(".")
                setattr(network.get_submodule(parent), attribute, AdaptiveAverage(rows, columns))
    return network


def _bins(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _shares(length: int, bins: int, like: Tensor) -> Tensor:
    """Compute the weight of each position in each bin, (bins, length).

    Bin i covers the positions from ⌊i·length/bins⌋ to before ⌈(i+1)·length/bins⌉.
    """
    places = torch.arange(length, device=like.device)[None]
    numbers = torch.arange(bins, device=like.device)[:, None]
    first = torch.div(numbers * length, bins, rounding_mode="floor")
    end = torch.div((numbers + 1) * length + bins - 1, bins, rounding_mode="floor")
    covered = ((places >= first) & (places < end)).to(like.dtype)
    return covered / (end - first)
