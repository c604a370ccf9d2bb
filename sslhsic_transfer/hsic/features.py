"""Random Fourier features (Rahimi and Recht 2007): φ(x) = √(2/D)·cos(xW/c + b), with E φ(x)·φ(y) = k_c(x, y)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.hsic.kernels import Kernel


@dataclass(frozen=True)
class RandomFeatures:
    """One draw of features; use the same draw for everything whose kernel values are compared.

    Attributes:
        weight: (d, D) spectral samples at scale 1.
        phase: (D,) offsets, uniform on [0, 2π).
    """

    weight: Tensor
    phase: Tensor

    def __call__(self, points: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Map points to features.

        Args:
            points: (…, d).
            scale: the kernel scale c.

        Returns:
            (…, D), in the precision of ``points``.
        """
        weight = self.weight.to(points.dtype) / scale
        angles = torch.addmm(self.phase.to(points.dtype), points.flatten(0, -2), weight)
        features = angles.cos().mul_(math.sqrt(2.0 / weight.shape[1]))
        return features.unflatten(0, points.shape[:-1])


@dataclass(frozen=True)
class LinearFeatures:
    """The linear kernel's features: the points themselves, exactly; there is nothing to draw and no scale."""

    def __call__(self, points: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Return ``points``, (…, d)."""
        return points


Features = RandomFeatures | LinearFeatures


def draw_features(
    kernel: Kernel,
    dim: int,
    count: int,
    *,
    orthogonal: bool = False,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Features:
    """Draw features of a kernel; frequencies and phases are independent.

    Args:
        kernel: the kernel.
        dim: d, dimensions of the points.
        count: D, number of features.
        orthogonal: whether directions are orthogonal within blocks of d (Yu et al. 2016); each frequency by itself is
            distributed as without.
        generator: source of randomness, on ``device``; torch's global one by default.
        device: where to draw.

    Returns:
        A function from points (…, d) and a scale to features (…, D).
    """
    if kernel.mixture is None:
        return LinearFeatures()
    device = torch.device(device)
    normal = torch.randn(dim, count, generator=generator, device=device)
    if orthogonal:
        normal = _orthogonal_directions(dim, count, generator, device) * normal.norm(dim=0)
    weight = normal * kernel.mixture(torch.randn(count, generator=generator, device=device))
    phase = torch.rand(count, generator=generator, device=device) * (2 * math.pi)
    return RandomFeatures(weight, phase)


def _orthogonal_directions(dim: int, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """(dim, count) unit columns, orthogonal within blocks of ``dim``, each uniform on the sphere."""
    blocks = -(-count // dim)
    normal = torch.randn(blocks, dim, min(dim, count), generator=generator, device=device)
    basis, upper = torch.linalg.qr(normal)
    basis = basis * upper.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # else the distribution is not uniform
    return basis.transpose(0, 1).flatten(1)[:, :count]
