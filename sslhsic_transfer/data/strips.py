"""Numbers of large images, taken strip by strip: of all rows at once, Pillow and NumPy would have copies of copies."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.data.picture_formats import beyond_pillows_bounds

_STRIP = 1 << 18  # pixels


def rgb_array(image: Image.Image) -> NDArray[np.uint8]:
    """Turn an RGB image into an (H, W, 3) uint8 array of its own."""
    array = np.empty((image.height, image.width, 3), np.uint8)
    for rows, pixels in _strips(image):
        array[rows] = pixels
    return array


def as_grey(
    image: Image.Image, largest: int, scale: Callable[[NDArray[Any], float], NDArray[Any]], expected: str
) -> Image.Image:
    """Turn an image of one number a pixel into one of bytes.

    Args:
        image: of mode I, I;16 or F.
        largest: the most that a number may be.
        scale: some of the numbers, and the largest of all -> numbers from 0 to 255.
        expected: the range in words.

    Raises:
        ValueError: there are numbers beyond.
    """
    ends = [(values.min(initial=0), values.max(initial=0)) for _, values in _strips(image)]
    low, high = min((low for low, _ in ends), default=0), max((high for _, high in ends), default=0)
    if not all(end >= 0 for end, _ in ends) or not all(end <= largest for _, end in ends):  # NaN is neither
        raise ValueError(f"its values go from {low} to {high}; expected {expected}")
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, values in _strips(image):
        grey[rows] = scale(values, high)
    return Image.fromarray(grey)


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
