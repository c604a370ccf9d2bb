"""Conversion of large images to arrays strip by strip, because Pillow and NumPy would copy the whole several times."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.data.picture_formats import beyond_pillows_bounds

_STRIP = 1 << 18  # pixels


def rgb_array(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an RGB image to a new (H, W, 3) uint8 array."""
    array = np.empty((image.height, image.width, 3), np.uint8)
    for rows, pixels in _strips(image):
        array[rows] = pixels
    return array


def as_gray(
    image: Image.Image, largest: int, scale: Callable[[NDArray[Any], float], NDArray[Any]], expected: str
) -> Image.Image:
    """Convert an image with one number per pixel to bytes.

    Args:
        image: an image of mode I, I;16 or F.
        largest: largest allowed value.
        scale: function from some of the values, and the largest of all, to values from 0 to 255.
        expected: the range in words.

    Raises:
        ValueError: values are out of range.
    """
    ends = [(values.min(initial=0), values.max(initial=0)) for _, values in _strips(image)]
    low, high = min((low for low, _ in ends), default=0), max((high for _, high in ends), default=0)
    if not all(end >= 0 for end, _ in ends) or not all(end <= largest for _, end in ends):  # also false for NaN
        raise ValueError(f"its values go from {low} to {high}; expected {expected}")
    gray = np.empty((image.height, image.width), np.uint8)
    for rows, values in _strips(image):
        gray[rows] = scale(values, high)
    return Image.fromarray(gray)


def _strips(image: Image.Image) -> Iterator[tuple[slice, NDArray[Any]]]:
    step = max(1, _STRIP // max(1, image.width))
    if step >= image.height:
        yield slice(image.height), np.asarray(image)
        return
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        with beyond_pillows_bounds():
            strip = image.crop((0, rows.start, image.width, rows.stop))
        yield rows, np.asarray(strip)
