"""The random numbers of a view, drawn for each picture from its own seed.

They are drawn separately from the operations that use them. Pictures can thus be cropped one by one where they are
decoded, and get their color operations as a batch on the network's device.
"""

import math
from itertools import permutations
from random import Random
from typing import Any, NamedTuple

from numpy.typing import NDArray
from torch import Tensor

from sslhsic_transfer.pretrain.sections import AugmentationSettings, ViewSettings

# Every order of brightness, contrast, saturation and hue, as indices 0 to 3.
ORDERS = tuple(permutations(range(4)))

Batch = Tensor | NDArray[Any]
Box = tuple[float, float, float, float]  # left, upper, right, lower, as in Pillow
_ATTEMPTS = 10


class Colors(NamedTuple):
    """The color operations of a view; numbers for one view, tensors or arrays (B,) for a batch.

    Attributes:
        order: index into `ORDERS`; −1: no jitter.
        brightness: factor of the brightness, or the value added to it (`byol-jax`).
        contrast: factor of the contrast.
        saturation: factor of the saturation.
        hue: rotation of the hue, in turns of the color circle.
        gray: whether the view becomes gray.
        sigma: standard deviation of the blur in pixels; 0: none.
        solarize: whether values of at least one half are inverted.
    """

    order: int | Batch
    brightness: float | Batch
    contrast: float | Batch
    saturation: float | Batch
    hue: float | Batch
    gray: bool | Batch
    sigma: float | Batch
    solarize: bool | Batch


class ViewDraw(NamedTuple):
    """All random numbers of a view of one picture.

    Attributes:
        box: the crop, in pixels of the upright picture.
        flip: whether it is mirrored.
        colors: its color operations.
    """

    box: Box
    flip: bool
    colors: Colors


def draw_views(seed: int, settings: AugmentationSettings, width: int, height: int) -> tuple[ViewDraw, ViewDraw]:
    """Draw both views of an upright picture; the result depends only on the arguments."""
    random = Random(seed)
    crops = [draw_crop(random, settings, width, height) for _ in range(2)]
    colors = [draw_colors(random, settings, view) for view in (settings.view1, settings.view2)]
    first, second = (ViewDraw(*crop, color) for crop, color in zip(crops, colors, strict=True))
    return first, second


def draw_crop(random: Random, settings: AugmentationSettings, width: int, height: int) -> tuple[Box, bool]:
    """Draw a box of random area and aspect ratio within a picture, and whether to flip it.

    The method is that of torchvision's RandomResizedCrop. The aspect ratio is log-uniform. A box that does not fit is
    drawn again; after ten failures the largest central box of an allowed ratio is used. In BYOL's JAX code (`byol-jax`)
    a box that does not fit is cut off at the picture's width or height instead, and nothing is drawn again.
    """
    draw = _draw_clamped if settings.style == "byol-jax" else _draw_until_it_fits
    left, upper, w, h = draw(random, settings, width, height)
    return (left, upper, left + w, upper + h), random.random() < settings.flip


def _draw_until_it_fits(
    random: Random, settings: AugmentationSettings, width: int, height: int
) -> tuple[int, int, int, int]:
    for _ in range(_ATTEMPTS):
        w, h = _draw_size(random, settings, width, height)
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    ratio = min(max(width / height, settings.crop_ratio[0]), settings.crop_ratio[1])
    w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return (width - w) // 2, (height - h) // 2, w, h


def _draw_clamped(random: Random, settings: AugmentationSettings, width: int, height: int) -> tuple[int, int, int, int]:
    w, h = _draw_size(random, settings, width, height)
    w, h = min(max(1, w), width), min(max(1, h), height)
    return random.randint(0, width - w), random.randint(0, height - h), w, h


def _draw_size(random: Random, settings: AugmentationSettings, width: int, height: int) -> tuple[int, int]:
    low, high = (math.log(ratio) for ratio in settings.crop_ratio)
    area = width * height * random.uniform(*settings.crop_area)
    ratio = math.exp(random.uniform(low, high))
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))


def draw_colors(random: Random, settings: AugmentationSettings, view: ViewSettings) -> Colors:
    """Draw the color operations of one view."""
    additive = settings.style == "byol-jax"
    center = 0.0 if additive else 1.0
    jittered = random.random() < settings.jitter
    return Colors(
        order=random.randrange(len(ORDERS)) if jittered else -1,
        brightness=_around(random, center, settings.brightness, at_least=-math.inf if additive else 0.0),
        contrast=_around(random, 1.0, settings.contrast),
        saturation=_around(random, 1.0, settings.saturation),
        hue=random.uniform(-settings.hue, settings.hue),
        gray=random.random() < settings.gray,
        sigma=random.uniform(*settings.blur_sigma) if random.random() < view.blur else 0.0,
        solarize=random.random() < view.solarize,
    )


def _around(random: Random, center: float, strength: float, at_least: float = 0.0) -> float:
    return random.uniform(max(at_least, center - strength), center + strength)
