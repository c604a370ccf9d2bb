"""Bicubic resizing without antialiasing, as in TensorFlow: Keys' kernel, half-pixel centers, in NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 22  # values gathered at a time: 16 MiB


def bicubic_taps(inputs: int, outputs: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return, for each pixel of a resized axis, the four input pixels that it is a weighted sum of.

    Keys' kernel has a = −½ and does not widen when the axis shrinks. Taps beyond the border have weight zero, and the
    other weights are divided by their sum.

    Args:
        inputs: number of pixels of the axis.
        outputs: number of pixels after resizing.

    Returns:
        (outputs, 4) indices, and (outputs, 4) float32 weights, whose rows sum to 1.
    """
    centers = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    indices = np.floor(centers).astype(np.intp)[:, None] + np.arange(-1, 3)
    distances = np.abs(centers[:, None] - indices)
    near = (1.5 * distances - 2.5) * distances**2 + 1
    far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
    weights = np.where(distances < 1, near, np.where(distances < 2, far, 0.0))
    weights[(indices < 0) | (indices >= inputs)] = 0
    return indices.clip(0, inputs - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize_bicubic(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a picture (H, W, C) to (height, width, C); values are rounded to bytes once, at the end."""
    rows = _resized(picture, height)
    resized = _resized(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return resized.round().clip(0, 255).astype(np.uint8)


def _resized(values: NDArray[Any], outputs: int) -> NDArray[np.float32]:
    """Resize the first axis: (inputs, …) -> (outputs, …) float32."""
    indices, weights = bicubic_taps(len(values), outputs)
    found = np.empty((outputs, *values.shape[1:]), np.float32)
    step = max(1, _BLOCK // (4 * max(1, values[0].size)))
    for start in range(0, outputs, step):
        part = slice(start, start + step)
        np.einsum("yk,yk...->y...", weights[part], values[indices[part]].astype(np.float32), out=found[part])
    return found
