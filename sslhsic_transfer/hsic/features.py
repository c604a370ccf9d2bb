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
        features = angles.cos() * math.sqrt(2.0 / weight.shape[1])
        return features.unflatten(0, points.shape[:-1])


def draw_features(
    kernel: Kernel,
    dim: int,
    count: int,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> RandomFeatures:
    """Draw ``count`` features of a kernel over ``dim`` dimensions; frequencies and phases are independent."""
    device = torch.device(device)
    weight = kernel.frequencies(dim, count, generator, device)
    phase = torch.rand(count, generator=generator, device=device) * (2 * math.pi)
    return RandomFeatures(weight, phase)
