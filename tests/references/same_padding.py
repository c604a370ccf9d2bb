"""Convolution and max-pooling with the SAME padding of JAX and TensorFlow, in NumPy, from its definition.

⌈n/s⌉ outputs; the padding that they need in all is split in two, the larger half at the end.
"""

import numpy as np


def _padded(x: np.ndarray, kernel: int, stride: int, value: float) -> tuple[np.ndarray, int, int]:
    padding, sizes = [(0, 0), (0, 0)], []
    for n in x.shape[2:]:
        outputs = -(-n // stride)
        total = max((outputs - 1) * stride + kernel - n, 0)
        padding.append((total // 2, total - total // 2))
        sizes.append(outputs)
    return np.pad(x, padding, constant_values=value), *sizes


def conv2d_same(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """(B, C, H, W), (O, C, k, k) -> (B, O, ⌈H/s⌉, ⌈W/s⌉)."""
    kernel = weight.shape[2]
    padded, height, width = _padded(x, kernel, stride, 0.0)
    out = np.empty((len(x), len(weight), height, width), x.dtype)
    for i in range(height):
        for j in range(width):
            window = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            out[:, :, i, j] = np.einsum("bchw,ochw->bo", window, weight)
    return out


def max_pool2d_same(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """(B, C, H, W) -> (B, C, ⌈H/s⌉, ⌈W/s⌉)."""
    padded, height, width = _padded(x, kernel, stride, -np.inf)
    out = np.empty((*x.shape[:2], height, width), x.dtype)
    for i in range(height):
        for j in range(width):
            window = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            out[:, :, i, j] = window.max(axis=(2, 3))
    return out
