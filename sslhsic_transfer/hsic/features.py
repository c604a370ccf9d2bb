"""Random Fourier features (Rahimi and Recht 2007): φ(x) = √(2/D)·cos(xW/c + b), with E φ(x)·φ(y) = k_c(x, y).

Paired features have no phase b: φ(x) = √(2/D)·(cos(xW/c), sin(xW/c)) for D/2 frequencies. Their φ(x)·φ(x) is exactly 1,
they are less noisy for the same D (Sutherland and Schneider 2015), and the projection costs half.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.hsic.kernels import Kernel


@dataclass(frozen=True)
class RandomFeatures:
    """One draw of features. Use the same draw for all points whose kernel values are compared.

    Attributes:
        weight: (d, D) frequencies; (d, D/2) for paired features.
        phase: (D,) offsets, uniform on [0, 2π); None for paired features.
    """

    weight: Tensor
    phase: Tensor | None

    def at(self, scale: Tensor | float) -> "RandomFeatures":
        """Return the same draw for the kernel of scale c, in the higher precision of the two."""
        scale = torch.as_tensor(scale, device=self.weight.device)
        return RandomFeatures(self.weight.to(torch.promote_types(self.weight.dtype, scale.dtype)) / scale, self.phase)

    def __call__(self, points: Tensor) -> Tensor:
        """Map points (…, d) to features (…, D) in the precision of the points."""
        weight, rows = self.weight.to(points.dtype), points.flatten(0, -2)
        if self.phase is None:
            angles = rows @ weight
            features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        else:
            features = torch.addmm(self.phase.to(points.dtype), rows, weight).cos()
        return features.mul_(math.sqrt(2.0 / features.shape[1])).unflatten(0, points.shape[:-1])


@dataclass(frozen=True)
class LinearFeatures:
    """The linear kernel's features: the points themselves, exactly, without randomness or scale."""

    def at(self, scale: Tensor | float) -> "LinearFeatures":
        """Return ``self``."""
        return self

    def __call__(self, points: Tensor) -> Tensor:
        """Return ``points``, (…, d)."""
        return points


Features = RandomFeatures | LinearFeatures


def tensors_of(draws: Sequence[Features]) -> list[Tensor]:
    """List the tensors of draws, for `rebuilt` to replace."""
    random = (draw for draw in draws if isinstance(draw, RandomFeatures))
    return [part for draw in random for part in (draw.weight, draw.phase) if part is not None]


def rebuilt(draws: Sequence[Features], tensors: Sequence[Tensor]) -> tuple[Features, ...]:
    """Build draws of the same kinds as ``draws`` from ``tensors``, in the order of `tensors_of`."""
    remaining = iter(tensors)
    return tuple(_rebuilt(draw, remaining) for draw in draws)


def _rebuilt(draw: Features, tensors: Iterator[Tensor]) -> Features:
    if isinstance(draw, LinearFeatures):
        return draw
    return RandomFeatures(next(tensors), None if draw.phase is None else next(tensors))


def moved(features: Features, device: torch.device) -> Features:
    """Move features to a device."""
    return rebuilt([features], [part.to(device) for part in tensors_of([features])])[0]


def draw_features(
    kernel: Kernel,
    dim: int,
    count: int,
    *,
    orthogonal: bool = False,
    paired: bool = False,
    stratified: bool = False,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Features:
    """Draw features of a kernel at scale 1, with independent frequencies and phases.

    >>> features = draw_features(KERNELS["imq"], dim=256, count=512).at(scale)
    >>> features(x) @ features(y).T  # approximates k(x, y) at that scale

    Args:
        kernel: the kernel.
        dim: d, the dimension of the points.
        count: D, the number of features; with ``paired`` an odd number is rounded up to even.
        orthogonal: whether directions are orthogonal within blocks of d (Yu et al. 2016); the distribution of each
            single frequency stays the same.
        paired: whether each frequency gives a cosine and a sine; else it gives a cosine with a random phase.
        stratified: whether the scalars of the kernel's mixture are spread evenly over their distribution, one in each
            of as many intervals of equal probability.
        generator: source of randomness, on ``device``; torch's global one by default.
        device: where to draw.

    Returns:
        A function from points (…, d) to features (…, D).
    """
    if kernel.mixture is None:
        return LinearFeatures()
    device = torch.device(device)
    frequencies = count_frequencies(count, paired=paired)
    normal = torch.randn(dim, frequencies, generator=generator, device=device)
    if orthogonal:
        normal = _orthogonal_directions(dim, frequencies, generator, device) * normal.norm(dim=0)
    scalars = (_stratified_normal if stratified else torch.randn)(frequencies, generator=generator, device=device)
    weight = normal * kernel.mixture(scalars)
    if paired:
        return RandomFeatures(weight, None)
    return RandomFeatures(weight, torch.rand(count, generator=generator, device=device) * (2 * math.pi))


def count_frequencies(num_features: int, *, paired: bool) -> int:
    """Count the frequencies of D features: half as many, rounded up, if each gives a cosine and a sine."""
    return -(-num_features // 2) if paired else num_features


def _stratified_normal(count: int, *, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw (count,) standard normal numbers in random order, one from each of ``count`` equally likely intervals."""
    order = torch.randperm(count, generator=generator, device=device)
    within = torch.rand(count, generator=generator, device=device)
    return torch.special.ndtri(((order + within) / count).clamp(1e-6, 1 - 1e-6))


def _orthogonal_directions(dim: int, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw (dim, count) unit columns, orthogonal within blocks of ``dim``, each uniform on the sphere."""
    blocks = -(-count // dim)
    normal = torch.randn(blocks, dim, min(dim, count), generator=generator, device=device)
    basis, upper = torch.linalg.qr(normal)
    basis = basis * upper.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # without this the distribution is not uniform
    return basis.transpose(0, 1).flatten(1)[:, :count]
