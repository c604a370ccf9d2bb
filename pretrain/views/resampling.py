"""Bicubic resizing and Gaussian blur as matrices over one axis, exact at the borders; one product serves a batch."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def blur_matrices(sigmas: Tensor, size: int, taps: int, *, reflect: bool) -> Tensor:
    """Build the matrices of a Gaussian blur along one axis, one for each standard deviation.

    Args:
        sigmas: (B,) standard deviations in pixels.
        size: length of the axis in pixels.
        taps: length of the kernel, odd.
        reflect: whether the picture is mirrored beyond its border, without repeating the border pixel, as torchvision
            does; otherwise it is black there.

    Returns:
        (B, size, size): row i holds the weights of the input's pixels in output pixel i.
    """
    radius = taps // 2
    offsets = torch.arange(-radius, radius + 1, device=sigmas.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None]).square())
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    kernels = nn.functional.pad(kernels, (0, 1))  # an extra tap of weight 0, for pixels out of reach
    weights = torch.zeros(len(sigmas), size, size, device=sigmas.device)
    for places in _appearances(size, radius, sigmas.device) if reflect else [torch.arange(size, device=sigmas.device)]:
        tap = places - torch.arange(size, device=sigmas.device)[:, None] + radius
        weights = weights + kernels[:, torch.where((tap >= 0) & (tap < taps), tap, taps)]
    return weights


def _appearances(size: int, radius: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the positions of each pixel on a line that mirrors the axis at both ends, within ``radius`` of the axis.

    Each item is (size,); a pixel that does not appear another time gets a position out of reach.
    """
    period = max(1, 2 * (size - 1))
    pixels = torch.arange(size, device=device)
    inner = (pixels > 0) & (pixels < size - 1)  # the end pixels are their own mirror images
    for turn in range(-(radius // period) - 1, radius // period + 2):
        yield pixels + turn * period
        yield torch.where(inner, turn * period - pixels, 2 * (size + radius))


def crop_matrices(
    starts: Tensor, lengths: Tensor, sizes: Tensor, *, inputs: int, outputs: int, flips: Tensor, antialias: bool
) -> Tensor:
    """Build the matrices of bicubic resizing (Keys' kernel, a = −½) of a part of an axis, one for each picture.

    As in Pillow, taps beyond the axis are left out and the weights of the others are divided by their sum.

    Args:
        starts: (B,) start of the part, in pixels from the start of the axis; fractions are allowed.
        lengths: (B,) length of the part in pixels.
        sizes: (B,) length of the axis in pixels.
        inputs: columns of the matrices; those beyond an axis's size are zero.
        outputs: number of output pixels.
        flips: (B,) bool, whether the output is reversed.
        antialias: whether the kernel widens when the picture shrinks.

    Returns:
        (B, outputs, inputs) float32; each row sums to 1.
    """
    places = torch.arange(outputs, device=starts.device).expand(len(starts), -1)
    places = torch.where(flips[:, None], outputs - 1 - places, places)
    scale = lengths / outputs
    width = scale.clamp_min(1.0) if antialias else torch.ones_like(scale)
    centers = starts[:, None] + (places + 0.5) * scale[:, None] - 0.5
    columns = torch.arange(inputs, device=starts.device)
    distances = ((columns - centers[:, :, None]) / width[:, None, None]).abs()
    near = (1.5 * distances - 2.5) * distances.square() + 1
    far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
    weights = torch.where(distances < 1, near, torch.where(distances < 2, far, 0.0))
    weights = torch.where(columns < sizes[:, None, None], weights, 0.0)
    return weights / weights.sum(dim=2, keepdim=True)
