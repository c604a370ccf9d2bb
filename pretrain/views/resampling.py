"""Bicubic resizing and Gaussian blur as matrices over one axis: exact at the borders, and one product for a batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def bicubic_matrix(inputs: int, outputs: int) -> NDArray[np.float32]:
    """Bicubic resizing without antialiasing: four taps of Keys' kernel (a = −½), half-pixel centres.

    Taps beyond the border are left out and the others' weights divided by their sum, as in TensorFlow.

    Returns:
        (outputs, inputs) float32; each row sums to 1.
    """
    centres = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    distances = np.abs(centres[:, None] - np.arange(inputs))
    near = (1.5 * distances - 2.5) * distances**2 + 1
    far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
    weights = np.where(distances < 1, near, np.where(distances < 2, far, 0.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def blur_matrices(sigmas: Tensor, size: int, taps: int, *, reflect: bool) -> Tensor:
    """Gaussian blur of one axis, a matrix for each standard deviation.

    Args:
        sigmas: (B,) standard deviations in pixels.
        size: pixels of the axis.
        taps: length of the kernel, odd.
        reflect: whether the picture is mirrored beyond its border, without repeating it, as torchvision does; otherwise
            it is black there.

    Returns:
        (B, size, size): row i holds the weights of the input's pixels in output pixel i.
    """
    radius = taps // 2
    offsets = torch.arange(-radius, radius + 1, device=sigmas.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None]).square())
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    places = torch.arange(size, device=sigmas.device)[:, None] + offsets  # (size, taps), which pixel each tap meets
    inside = (places >= 0) & (places < size)
    if reflect:
        period = max(1, 2 * (size - 1))
        places = places.remainder(period)
        places = torch.where(places >= size, period - places, places)
    else:
        places = places.clamp(0, size - 1)
    weights = kernels[:, None, :] * (torch.ones_like(inside) if reflect else inside)
    index = places.expand(len(sigmas), -1, -1)
    return torch.zeros(len(sigmas), size, size, device=sigmas.device).scatter_add_(2, index, weights.expand_as(index))
