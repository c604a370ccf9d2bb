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
        weight: (d, D) frequencies.
        phase: (D,) offsets, uniform on [0, 2π).
    """

    weight: Tensor
    phase: Tensor

    def at(self, scale: Tensor | float) -> "RandomFeatures":
        """The same draw for the kernel of scale c, in the precision of the more precise of the two."""
        scale = torch.as_tensor(scale, device=self.weight.device)
        return RandomFeatures(self.weight.to(torch.promote_types(self.weight.dtype, scale.dtype)) / scale, self.phase)

    def __call__(self, points: Tensor) -> Tensor:
        """Map points (…, d) to features (…, D) in the precision of the points."""
        weight = self.weight.to(points.dtype)
        angles = torch.addmm(self.phase.to(points.dtype), points.flatten(0, -2), weight)
        features = angles.cos().mul_(math.sqrt(2.0 / weight.shape[1]))
        return features.unflatten(0, points.shape[:-1])


@dataclass(frozen=True)
class LinearFeatures:
    """The linear kernel's features: the points themselves, exactly; there is nothing to draw and no scale."""

    def at(self, scale: Tensor | float) -> "LinearFeatures":
        """Return ``self``."""
        return self

    def __call__(self, points: Tensor) -> Tensor:
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
    """Draw features of a kernel at scale 1; frequencies and phases are independent.

    >>> features = draw_features(KERNELS["imq"], dim=256, count=512).at(scale)
    >>> features(x) @ features(y).T  # near k(x, y), scale's

    Args:
        kernel: the kernel.
        dim: d, dimensions of the points.
        count: D, number of features.
        orthogonal: whether directions are orthogonal within blocks of d (Yu et al. 2016); each frequency by itself is
            distributed as without.
        generator: source of randomness, on ``device``; torch's global one by default.
        device: where to draw.

    Returns:
        A function from points (…, d) to features (…, D).
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
