"""Layers that torch exports at one size only, as others that give the same at any."""

from typing import Any

import torch
from torch import Tensor, nn


class AdaptiveAverage(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, whose matrices follow from the size of what comes in.

    Args:
        rows: bins along the height.
        columns: bins along the width.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, rows, columns)."""
        height, width = maps.shape[-2:]
        return _shares(height, self.rows, maps) @ maps @ _shares(width, self.columns, maps).transpose(0, 1)


def exportable(network: nn.Module) -> nn.Module:
    """Exchange such layers of a network, in place."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.AdaptiveAvgPool2d) and name:
            rows, columns = _bins(layer.output_size)
            if (rows, columns) != (1, 1):  # a plain mean
                parent, _, attribute = name.rpartition(".")
                setattr(network.get_submodule(parent), attribute, AdaptiveAverage(rows, columns))
    return network


def _bins(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _shares(length: int, bins: int, like: Tensor) -> Tensor:
    """(bins, length): what each place gives to each bin; bin i covers ⌊i·length/bins⌋ to ⌈(i+1)·length/bins⌉."""
    places = torch.arange(length, device=like.device)[None]
    numbers = torch.arange(bins, device=like.device)[:, None]
    first = torch.div(numbers * length, bins, rounding_mode="floor")
    end = torch.div((numbers + 1) * length + bins - 1, bins, rounding_mode="floor")
    covered = ((places >= first) & (places < end)).to(like.dtype)
    return covered / (end - first)
