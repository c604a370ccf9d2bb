"""Kernels: the exact form of each, its slope, and the distribution of its random features.

A translation-invariant kernel k_c(x, y) = κ(‖x − y‖², c) is, by Bochner's theorem, the mean of cos(wᵀ(x − y)) over its
spectral density. All kernels here are mixtures of Gaussians over the width. At c = 1 an exact draw is therefore w = r·ξ
with ξ ~ N(0, I) and a scalar r whose distribution depends on the kernel; at any other scale w is divided by c. To add a
kernel, add a row to `KERNELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sslhsic_transfer.errors import ConfigError

Profile = Callable[[Tensor, Tensor], Tensor]
Mixture = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kernel:
    """One kernel family.

    Attributes:
        name: the name used in recipes.
        profile: (squared distances, scale) -> kernel values of the same shape; None for the linear kernel x·y.
        slope: (squared distances, scale) -> |∂κ/∂s| at those squared distances; None if there is no scale to learn.
        log_slope_gradient: (squared distances, scale) -> ∂ log |∂κ/∂s| / ∂c there; None if ``slope`` is None.
        mixture: standard normal numbers (count,) -> the scalars r (count,) of the spectral density; None for the linear
            kernel, whose features are the points themselves.
    """

    name: str
    profile: Profile | None
    slope: Profile | None
    log_slope_gradient: Profile | None
    mixture: Mixture | None

    def __reduce__(self) -> Any:  # pickled by name, because its functions cannot be pickled
        return (get_kernel, (self.name,)) if KERNELS.get(self.name) is self else super().__reduce__()

    def matrix(self, x: Tensor, y: Tensor | None = None, scale: Tensor | float = 1.0) -> Tensor:
        """Compute exact kernel values of all pairs: (N, d), (M, d) -> (N, M); ``y`` defaults to ``x``."""
        y = x if y is None else y
        if self.profile is None:
            return x @ y.T
        return self.profile(squared_distances(x, y), torch.as_tensor(scale, dtype=x.dtype, device=x.device))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Compute ‖x_i − y_j‖² for all pairs: (…, N, d), (…, M, d) -> (…, N, M), never below zero."""
    squares = x.square().sum(dim=-1)[..., :, None] + y.square().sum(dim=-1)[..., None, :]
    return torch.add(squares, x @ y.mT, alpha=-2).clamp_min(0)


def _root(s: Tensor) -> Tensor:
    """Compute √s with a derivative of 0 at 0, where it has none."""
    positive = s > 0
    return torch.where(positive, torch.where(positive, s, 1).sqrt(), 0)


def _apart(s: Tensor) -> Tensor:
    """Raise squared distances to at least the rounding error of a zero distance."""
    return s.clamp_min(8 * torch.finfo(s.dtype).eps)


KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "imq",  # inverse multiquadric c/√(c² + s); the paper's
            profile=lambda s, c: c * torch.rsqrt(s + c**2),
            slope=lambda s, c: 0.5 * c * torch.rsqrt(s + c**2).pow(3),
            log_slope_gradient=lambda s, c: 1 / c - 3 * c / (s + c**2),
            mixture=torch.abs,
        ),
        Kernel(
            "gaussian",  # exp(−s / 2c²)
            profile=lambda s, c: torch.exp(-s / (2 * c**2)),
            slope=lambda s, c: torch.exp(-s / (2 * c**2)) / (2 * c**2),
            log_slope_gradient=lambda s, c: s / c**3 - 2 / c,
            mixture=torch.ones_like,
        ),
        Kernel(
            "laplace",  # exp(−√s / c); its spectral density is the multivariate Cauchy distribution
            profile=lambda s, c: torch.exp(-_root(s) / c),
            slope=lambda s, c: torch.exp(-_apart(s).sqrt() / c) / (2 * c * _apart(s).sqrt()),
            log_slope_gradient=lambda s, c: _apart(s).sqrt() / c**2 - 1 / c,
            mixture=lambda normal: normal.abs().clamp_min(1e-6).reciprocal(),
        ),
        # x·y: the cosine of unit vectors
        Kernel("linear", profile=None, slope=None, log_slope_gradient=None, mixture=None),
    )
}


def get_kernel(name: str) -> Kernel:
    """Look up a kernel by name.

    Raises:
        ConfigError: there is no kernel of that name.
    """
    if name not in KERNELS:
        raise ConfigError(f"Unknown kernel {name!r}; expected one of: {', '.join(KERNELS)}.")
    return KERNELS[name]
