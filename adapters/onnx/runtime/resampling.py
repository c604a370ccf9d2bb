"""Resizing in NumPy: of bytes, identical to the fixed-point arithmetic of torch's CPU kernels, and of maps.

Torch resizes bytes in two passes, width first. The weights of a pass are 16-bit integers, with as many binary places as
the greatest of them allows, and each pass rounds to a byte (aten/src/ATen/native/cpu/UpSampleKernel.cpp).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_BLOCK = 32  # outputs per matrix product: more would multiply zeros, fewer would call NumPy often


class Taps(NamedTuple):
    """Indices (outputs, k) of the inputs, and their weights, whose weighted sum is each output along one axis."""

    indices: NDArray[np.intp]
    weights: Float

    def kept(self, outputs: slice) -> "Taps":
        """Return the taps of some outputs only."""
        return Taps(self.indices[outputs], self.weights[outputs])

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Compute weighted sums along the first axis: (inputs, …) to (outputs, …), float32 for float32, or float64."""
        dtype = values.dtype if values.dtype == np.float32 else np.dtype(np.float64)
        found = np.empty((len(self.indices), *values.shape[1:]), dtype)
        for start in range(0, len(found), _BLOCK):
            indices, weights = self.indices[start : start + _BLOCK], self.weights[start : start + _BLOCK]
            low, high = indices.min(), indices.max() + 1
            band = np.zeros((len(indices), high - low), dtype)
            np.add.at(band, (np.arange(len(indices))[:, None], indices - low), weights)
            span = values[low:high].astype(dtype, order="C").reshape(high - low, -1)
            found[start : start + _BLOCK] = (band @ span).reshape(-1, *values.shape[1:])
        return found


def resize_bytes(
    picture: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: str,
    antialias: bool,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> NDArray[np.uint8]:
    """Resize a picture (H, W, 3); only the requested rows and columns of the result are computed.

    Args:
        picture: (H, W, 3) uint8.
        size: height and width of the whole result.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: whether to filter when the picture shrinks; ignored by "nearest".
        rows: rows of the whole result to compute.
        columns: columns of the whole result to compute.
    """
    if picture.shape[:2] == size:
        return picture[rows, columns]
    if interpolation == "nearest":
        vertical, horizontal = (_nearest(old, new) for old, new in zip(picture.shape[:2], size, strict=True))
        return picture[vertical[rows, None], horizontal[columns]]
    kernel = _KERNELS[interpolation, antialias]
    (vertical_taps, vertical_places), (horizontal_taps, horizontal_places) = (
        _fixed_point(kernel(old, new)) for old, new in zip(picture.shape[:2], size, strict=True)
    )
    vertical_taps, horizontal_taps = vertical_taps.kept(rows), horizontal_taps.kept(columns)
    first, last = vertical_taps.indices.min(), vertical_taps.indices.max() + 1
    across = _rounded(horizontal_taps.sums(picture[first:last].transpose(1, 0, 2)), horizontal_places)
    down = Taps(vertical_taps.indices - first, vertical_taps.weights)
    return _rounded(down.sums(across.transpose(1, 0, 2)), vertical_places)


def resize_maps(maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize maps (C, h, w) float32 to (C, height, width), bilinearly between the centers of pixels."""
    across = _linear(maps.shape[2], width).sums(maps.transpose(2, 0, 1))  # (width, C, h)
    down: NDArray[np.float32] = _linear(maps.shape[1], height).sums(across.transpose(2, 1, 0))
    return down.transpose(1, 0, 2)


def _fixed_point(taps: Taps) -> tuple[Taps, int]:
    """Convert weights to integers below 2**15, and return their number of binary places."""
    greatest = taps.weights.max()
    places = next((p for p in range(22) if int(0.5 + greatest * 2.0 ** (p + 1)) >= 2**15), 22)
    scaled = taps.weights * 2.0**places
    return Taps(taps.indices, np.trunc(scaled + np.copysign(0.5, scaled))), places


def _rounded(sums: Float, places: int) -> NDArray[np.uint8]:
    sums += 2.0 ** (places - 1)
    sums *= 2.0**-places
    return np.clip(np.floor(sums, out=sums), 0, 255, out=sums).astype(np.uint8)


def _filtered(old: int, new: int, reach: int, shape: Any) -> Taps:
    """Compute the taps of a filter that widens as the axis shrinks; ``reach`` is half its width without shrinking."""
    scale = old / new
    stretch = max(scale, 1.0)
    support = reach * stretch
    center = scale * (np.arange(new) + 0.5)
    first = np.maximum((center - support + 0.5).astype(np.intp), 0)
    end = np.minimum((center + support + 0.5).astype(np.intp), old)
    indices = first[:, None] + np.arange((end - first).max())
    weights = shape((indices - center[:, None] + 0.5) * (1 / stretch)) * (indices < end[:, None])
    return Taps(indices.clip(0, old - 1), weights / weights.sum(axis=1, keepdims=True))


def _filtered_linear(old: int, new: int) -> Taps:
    return _filtered(old, new, 1, lambda x: np.maximum(1 - np.abs(x), 0))


def _filtered_cubic(old: int, new: int) -> Taps:
    return _filtered(old, new, 2, lambda x: _keys(x, -0.5))


def _linear(old: int, new: int) -> Taps:
    position = np.maximum((old / new) * (np.arange(new) + 0.5) - 0.5, 0)
    first = np.floor(position).astype(np.intp)
    share = position - first
    return _inside(np.stack([first, first + 1], axis=1), np.stack([1 - share, share], axis=1), old)


def _cubic(old: int, new: int) -> Taps:
    position = (old / new) * (np.arange(new) + 0.5) - 0.5
    first = np.floor(position)
    near = np.arange(-1, 3)
    return _inside(first[:, None].astype(np.intp) + near, _keys(near - (position - first)[:, None], -0.75), old)


def _inside(indices: NDArray[np.intp], weights: Float, old: int) -> Taps:
    """Replace inputs beyond the border by the border's pixel, which takes their weights before they are rounded."""
    indices = indices.clip(0, old - 1)
    for tap in range(1, indices.shape[1]):
        same = indices[:, tap] == indices[:, tap - 1]
        weights[same, tap] += weights[same, tap - 1]
        weights[same, tap - 1] = 0
    return Taps(indices, weights)


def _keys(x: Float, a: float) -> Float:
    """Evaluate Keys' cubic kernel; torch uses a = -0.5 for antialiasing, as Pillow does, and -0.75 otherwise."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _nearest(old: int, new: int) -> NDArray[np.intp]:
    scale = np.float32(old / new)  # in single precision, as in torch
    return np.minimum((np.arange(new, dtype=np.float32) * scale).astype(np.intp), old - 1)


_KERNELS = {
    ("bilinear", True): _filtered_linear,
    ("bicubic", True): _filtered_cubic,
    ("bilinear", False): _linear,
    ("bicubic", False): _cubic,
}
