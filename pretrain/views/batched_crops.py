"""Crops, flips and resizing of a whole batch of decoded pictures at once, on any device.

The pixels of pictures of any sizes lie one after another in one tensor. The results are those of `cut_views` for the
same pictures and random numbers, except that some pixels differ by one step of 255. Pillow's arithmetic is written as
two matrix products.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views.crops import View, scaled_box
from sslhsic_transfer.pretrain.views.draws import Colors, ViewDraw
from sslhsic_transfer.pretrain.views.resampling import crop_matrices

# Number of values of pixels that are gathered at a time: 128 MiB in float16.
_VALUES_AT_A_TIME = 2**26
# Window sides are rounded up to multiples of this, so that memory blocks have few different sizes.
_WINDOW_STEP = 32


class Crops(NamedTuple):
    """The crops of one view of a batch, as arrays, which pass between processes faster than small tensors.

    Attributes:
        boxes: (B, 4) float32 left, upper, right, lower in the pixels of the stored pictures.
        flips: (B,) bool.
        window: a height and width large enough for the pixels of every box.
        colors: the color operations of each picture, an array (B,) for each field.
    """

    boxes: NDArray[np.float32]
    flips: NDArray[np.bool_]
    window: tuple[int, int]
    colors: Colors


def collate_crops(
    draws: Sequence[ViewDraw], originals: Sequence[tuple[int, int]], stored: Sequence[tuple[int, int]]
) -> Crops:
    """Put the random numbers of a batch's views into arrays.

    Args:
        draws: the random numbers of each picture.
        originals: width and height that they were drawn for.
        stored: width and height of the stored pixels.
    """
    boxes = np.array(
        [
            scaled_box(draw.box, now[0] / then[0], now[1] / then[1])
            for draw, then, now in zip(draws, originals, stored, strict=True)
        ],
        dtype=np.float32,
    )
    extent = (np.ceil(boxes[:, 2:]) - np.floor(boxes[:, :2])).max(axis=0)
    width, height = (math.ceil(side / _WINDOW_STEP) * _WINDOW_STEP for side in extent.tolist())
    colors = Colors(*map(np.array, zip(*(draw.colors for draw in draws), strict=True)))
    return Crops(boxes, np.array([draw.flip for draw in draws]), (height, width), colors)


@torch.no_grad()
def cut_batch(pixels: Tensor, starts: Tensor, widths: Tensor, crops: Crops, settings: AugmentationSettings) -> View:
    """Crop, resize and flip one view of every picture of a batch.

    Args:
        pixels: (P, 3) uint8, the rows of each picture one after another.
        starts: (B,) int64, index of the first pixel of each picture, on the device of ``pixels``.
        widths: (B,) int64, width of each picture in pixels, on the same device.
        crops: the crop of each picture.
        settings: the augmentations.

    Returns:
        Pixels (B, 3, size, size) uint8 on that device, without waiting for it, and the colors (B,) on the CPU.
    """
    boxes, flips = (torch.from_numpy(part).to(pixels.device, non_blocking=True) for part in (crops.boxes, crops.flips))
    height, width = crops.window
    count = max(1, _VALUES_AT_A_TIME // (3 * height * width))
    made = [
        _cut(pixels, starts[part], widths[part], boxes[part], flips[part], (height, width), settings)
        for part in (slice(start, start + count) for start in range(0, len(boxes), count))
    ]
    return View(torch.cat(made), Colors(*(torch.from_numpy(values) for values in crops.colors)))


def _cut(
    pixels: Tensor,
    starts: Tensor,
    widths: Tensor,
    boxes: Tensor,
    flips: Tensor,
    window: tuple[int, int],
    settings: AugmentationSettings,
) -> Tensor:
    low, high = boxes[:, :2].floor(), boxes[:, 2:].ceil()  # resizing must not use pixels outside of these
    sizes = high - low
    smooth = settings.style == "torchvision"
    begins = boxes[:, :2] - low if smooth else torch.zeros_like(low)
    lengths = boxes[:, 2:] - boxes[:, :2] if smooth else sizes
    across, down = (
        crop_matrices(
            begins[:, axis],
            lengths[:, axis],
            sizes[:, axis],
            inputs=window[1 - axis],
            outputs=settings.size,
            flips=flips if axis == 0 else torch.zeros_like(flips),
            antialias=smooth,
        )
        for axis in (0, 1)
    )
    dtype = _arithmetic(pixels.device)
    across, down = across.to(dtype), down.to(dtype)
    x = _gather(pixels, starts, widths, low.long(), sizes.long(), window).to(dtype)
    x = torch.bmm(x.flatten(1, 2), across.mT).unflatten(1, (3, window[0]))
    if smooth:
        x = x.round_().clamp_(0, 255)  # Pillow keeps bytes between the two passes
    return torch.matmul(down[:, None], x).round_().clamp_(0, 255).to(torch.uint8)


def _arithmetic(device: torch.device) -> torch.dtype:
    """Choose the type to multiply in: float16 holds bytes exactly, weights to 0.05 %, and is much faster on GPUs."""
    return torch.float16 if device.type == "cuda" else torch.float32


def _gather(
    pixels: Tensor, starts: Tensor, widths: Tensor, low: Tensor, sizes: Tensor, window: tuple[int, int]
) -> Tensor:
    """Take each picture's window, which begins at its corner ``low``, (B, 3, H, W); beyond its size, pixels repeat."""
    rows = torch.minimum(torch.arange(window[0], device=pixels.device), sizes[:, 1:] - 1) + low[:, 1:]
    columns = torch.minimum(torch.arange(window[1], device=pixels.device), sizes[:, :1] - 1) + low[:, :1]
    places = (starts[:, None] + rows * widths[:, None])[:, :, None] + columns[:, None]
    found = pixels.index_select(0, places.flatten()).view(*places.shape, 3)
    return found.permute(0, 3, 1, 2)
