"""Translation-invariant kernels k_c(x, y) = κ(‖x − y‖², c): exact form and spectral sampler of each.

By Bochner's theorem such a kernel is the mean of cos(wᵀ(x − y)) over its spectral density; `Kernel.frequencies` draws w
for c = 1, and any other scale divides w by c. To add a kernel, add a row to `KERNELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.errors import ConfigError

Sampler = Callable[[int, int, torch.Generator | None, torch.device], Tensor]


@dataclass(frozen=True)
class Kernel:
    """One kernel family.

    Attributes:
        name: the name used in recipes.
        exact: (squared distances, scale) -> kernel values of the same shape.
        slope: (squared distances, scale) -> |∂κ/∂s| at those squared distances s, same shape.
        frequencies: (dim, count, generator, device) -> (dim, count) float32 spectral samples at scale 1.
    """

    name: str
    exact: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    frequencies: Sampler


def _normal(dim: int, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    return torch.randn(dim, count, generator=generator, device=device)


def _imq_frequencies(dim: int, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """The inverse multiquadric is a Gamma(½) mixture of Gaussians, so w = g·ξ with scalar g ~ N(0, 1), ξ ~ N(0, I)."""
    directions = _normal(dim, count, generator, device)
    return directions * _normal(1, count, generator, device)


KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "imq",
            exact=lambda s, c: c * torch.rsqrt(s + c**2),
            slope=lambda s, c: 0.5 * c * (s + c**2) ** -1.5,
            frequencies=_imq_frequencies,
        ),
        Kernel(
            "gaussian",
            exact=lambda s, c: torch.exp(-s / (2 * c**2)),
            slope=lambda s, c: torch.exp(-s / (2 * c**2)) / (2 * c**2),
            frequencies=_normal,
        ),
    )
}


def get_kernel(name: str) -> Kernel:
    """Look a kernel up by name.

    Raises:
        ConfigError: there is no kernel of that name.
    """
    if name not in KERNELS:
        raise ConfigError(f"Unknown kernel {name!r}; expected one of: {', '.join(KERNELS)}.")
    return KERNELS[name]
