"""Decoding, crops, resizing and flips of single pictures."""

import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslhsic_transfer._bicubic import resize_bicubic
from sslhsic_transfer.data.images import to_rgb, upright_size
from sslhsic_transfer.data.picture_formats import beyond_pillows_bounds
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views.draws import Box, Colors, ViewDraw, draw_views


class View(NamedTuple):
    """One view before its color operations are applied.

    Attributes:
        pixels: (3, size, size) uint8; for a batch (B, 3, size, size).
        colors: the color operations to apply.
    """

    pixels: Tensor
    colors: Colors


def two_views(image: Image.Image, seed: int, settings: AugmentationSettings) -> tuple[View, View]:
    """Make the two views of a picture, which depend only on the picture, the seed and the settings.

    The picture is decoded once; a JPEG that is far larger than the views is decoded at a half, a quarter or an eighth
    of its size.

    Args:
        image: a picture of any mode, preferably not yet decoded.
        seed: seed of all random numbers.
        settings: the augmentations.

    Raises:
        ImageError: the picture is damaged.
    """
    size = upright_size(image)
    draws = draw_views(seed, settings, *size)
    sides = [min(right - left, lower - upper) for (left, upper, right, lower), _, _ in draws]
    excess = min(sides) / settings.size
    if excess >= 2 and settings.style == "torchvision":
        image.draft("RGB", (math.ceil(image.width / excess), math.ceil(image.height / excess)))
    return cut_views(to_rgb(image), size, draws, settings)


def cut_views(
    picture: Image.Image, size: tuple[int, int], draws: tuple[ViewDraw, ViewDraw], settings: AugmentationSettings
) -> tuple[View, View]:
    """Crop, resize and flip both views of a decoded picture.

    Args:
        picture: an upright RGB picture, perhaps shrunk.
        size: width and height of the picture that the boxes were drawn for.
        draws: the random numbers of each view.
        settings: the augmentations.
    """
    across, down = picture.width / size[0], picture.height / size[1]
    first, second = (
        View(_cut(picture, scaled_box(draw.box, across, down), draw.flip, settings), draw.colors) for draw in draws
    )
    return first, second


def _cut(picture: Image.Image, box: Box, flip: bool, settings: AugmentationSettings) -> Tensor:
    left, upper, right, lower = box
    whole = math.floor(left), math.floor(upper), math.ceil(right), math.ceil(lower)
    with beyond_pillows_bounds():
        crop = picture.crop(whole)  # resizing must not use pixels outside of the box
    if settings.style == "byol-jax":
        pixels = resize_bicubic(np.asarray(crop), settings.size, settings.size)
    else:
        inner = left - whole[0], upper - whole[1], right - whole[0], lower - whole[1]
        pixels = np.asarray(crop.resize((settings.size, settings.size), Image.Resampling.BICUBIC, box=inner))
    pixels = pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1] if flip else pixels))


def scaled_box(box: Box, across: float, down: float) -> Box:
    """Scale a box to a copy that is ``across`` times as wide and ``down`` times as high."""
    left, upper, right, lower = box
    return left * across, upper * down, right * across, lower * down
