"""Preprocessing in NumPy and Pillow, with the same results as the preprocessing in torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer._bicubic import resize_bicubic
from sslhsic_transfer.adapters.onnx.runtime.resampling import resize_bytes
from sslhsic_transfer.models.preprocessing import Preprocessing


def resized(picture: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize the short side and crop the center, or the other way round: (H, W, 3) uint8 to (crop, crop, 3) uint8."""
    crop = preprocessing.crop
    if preprocessing.style == "byol-jax":
        return resize_bicubic(picture[preprocessing.center(*picture.shape[:2])], crop, crop)
    height, width = resized_size(picture.shape[0], picture.shape[1], preprocessing.resize)
    top, left = round((height - crop) / 2), round((width - crop) / 2)
    return resize_bytes(
        picture,
        (height, width),
        preprocessing.interpolation,
        preprocessing.antialias,
        rows=slice(top, top + crop),
        columns=slice(left, left + crop),
    )


def with_short_side(picture: NDArray[np.uint8], short: int) -> NDArray[np.uint8]:
    """Resize a picture (H, W, 3) with antialiasing so that its short side has ``short`` pixels, without cropping."""
    factor = short / min(picture.shape[:2])
    height, width = (round(factor * side) for side in picture.shape[:2])
    return resize_bytes(picture, (height, width), "bilinear", antialias=True)


def with_shortest_edge(picture: NDArray[np.uint8], short: int, longest: int) -> NDArray[np.uint8]:
    """Resize the short side to ``short`` pixels, but the long side to ``longest`` at most.

    This is Detectron2's ResizeShortestEdge, which uses Pillow.
    """
    sides = [side * (short / min(picture.shape[:2])) for side in picture.shape[:2]]
    if max(sides) > longest:
        sides = [side * (longest / max(sides)) for side in sides]
    height, width = (int(side + 0.5) for side in sides)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def resized_size(height: int, width: int, short: int) -> tuple[int, int]:
    """Compute height and width after resizing the short side; the other is rounded down, as in torchvision."""
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


def normalized(picture: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Normalize (H, W, 3) uint8 to (3, H, W) float32: scale to [0, 1], subtract the mean, divide by the deviation."""
    scaled = picture.astype(np.float32) / np.float32(255)
    mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1))
