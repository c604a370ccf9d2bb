"""Preprocessing in NumPy and Pillow, equal to the torch transform within one step of 255."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.models.preprocessing import Preprocessing

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_SMOOTH = Preprocessing(interpolation="bilinear")  # what is not an encoder's input is resized so
_CUBIC = -0.75  # torch's coefficient where nothing is filtered; Pillow's, with its filter, is -0.5


def resized(picture: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Short side resized, centre cropped: (H, W, 3) uint8 -> (crop, crop, 3) uint8."""
    short, crop = preprocessing.resize, preprocessing.crop
    height, width = resized_size(picture.shape[0], picture.shape[1], short)
    top, left = round((height - crop) / 2), round((width - crop) / 2)
    return _resample(picture, (height, width), preprocessing)[top : top + crop, left : left + crop]


def with_short_side(picture: NDArray[np.uint8], short: int, longest: int | None = None) -> NDArray[np.uint8]:
    """A picture smoothly resized; nothing is cropped.

    Args:
        picture: (H, W, 3).
        short: pixels that the short side gets, wherever the long one allows it.
        longest: most pixels that the long side may get; None: any.
    """
    factor = short / min(picture.shape[:2])
    sides = [factor * side for side in picture.shape[:2]]
    if longest is None:
        return _resample(picture, (round(sides[0]), round(sides[1])), _SMOOTH)
    if max(sides) > longest:
        sides = [side * longest / max(sides) for side in sides]
    return _resample(picture, (int(sides[0] + 0.5), int(sides[1] + 0.5)), _SMOOTH)  # as Detectron2 rounds


def at_size(maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Maps (C, h, w) float32 at another size, bilinear between the centres of pixels: (C, height, width)."""
    values = maps.transpose(1, 2, 0)
    for axis, new in ((1, width), (0, height)):
        values = _along(values, axis, *_linear_taps(values.shape[axis], new))
    return values.transpose(2, 0, 1)


def resized_size(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width after resizing the short side; the other is rounded down, as torchvision does."""
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


def normalized(picture: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (3, H, W) float32: scaled to [0, 1], less the mean, over the standard deviation."""
    scaled = picture.astype(np.float32) / np.float32(255)
    mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1))


def _resample(picture: NDArray[np.uint8], size: tuple[int, int], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    if picture.shape[:2] == size:
        return picture
    if preprocessing.interpolation == "nearest":
        rows, columns = (_nearest(old, new) for old, new in zip(picture.shape[:2], size, strict=True))
        return picture[rows[:, None], columns]
    if preprocessing.antialias:
        image = Image.fromarray(np.ascontiguousarray(picture))
        return np.asarray(image.resize(size[::-1], _FILTERS[preprocessing.interpolation]))
    taps = _cubic_taps if preprocessing.interpolation == "bicubic" else _linear_taps
    values = picture.astype(np.float32)
    for axis in (1, 0):  # width first, and whole steps in between, as torch's kernels do
        values = np.clip(np.floor(_along(values, axis, *taps(values.shape[axis], size[axis])) + 0.5), 0, 255)
    return values.astype(np.uint8)


def _nearest(old: int, new: int) -> NDArray[np.intp]:
    scale = np.float32(old / new)  # in single precision, as torch computes it
    return np.minimum((np.arange(new, dtype=np.float32) * scale).astype(np.intp), old - 1)


def _linear_taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    position = np.maximum((np.arange(new) + 0.5) * (old / new) - 0.5, 0)
    first = np.floor(position).astype(np.intp)
    share = (position - first).astype(np.float32)
    return np.stack([first, first + 1]).clip(0, old - 1), np.stack([1 - share, share])


def _cubic_taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Keys' cubic convolution: four neighbours, those beyond the border repeated."""
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(position).astype(np.intp)
    t = position - first
    a = _CUBIC

    def near(x: NDArray[Any]) -> NDArray[Any]:
        return (np.asarray((a + 2) * x - (a + 3)) * x) * x + 1

    def far(x: NDArray[Any]) -> NDArray[Any]:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)]).astype(np.float32)
    return np.stack([first - 1, first, first + 1, first + 2]).clip(0, old - 1), weights


def _along(
    values: NDArray[np.float32], axis: int, indices: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted sums of neighbours along an axis."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    terms = [values.take(index, axis) * weight.reshape(shape) for index, weight in zip(indices, weights, strict=True)]
    return np.sum(terms, axis=0, dtype=np.float32)
