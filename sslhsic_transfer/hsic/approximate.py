"""The loss's terms from random features, as functions of sums over images: linear in the batch size.

The paper takes all of HSIC(Z, Y) from the first of two draws. A variant has less noise at the same cost: it computes
the mean over an image's pairs of views from their few kernel values, and the mean over all pairs from both draws.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sslhsic_transfer.hsic.distributed import Reduce, sum_over_processes
from sslhsic_transfer.hsic.features import Features
from sslhsic_transfer.hsic.first_derivative import FirstDerivative
from sslhsic_transfer.hsic.groups import BiasedHSIC, UnbiasedHSIC
from sslhsic_transfer.hsic.kernels import Kernel, squared_distances
from sslhsic_transfer.hsic.sums import Summand, batch_sums, blocks


class ApproximateTerms(NamedTuple):
    """Terms of the loss, as scalar tensors.

    Attributes:
        zy: HSIC(Z, Y).
        zy_by_draw: (2,) the estimate of HSIC(Z, Y) from each draw alone; without gradient.
        zz: HSIC(Z, Z).
    """

    zy: Tensor
    zy_by_draw: Tensor
    zz: Tensor


def approximate_terms(
    points: Tensor,
    draws: tuple[Features, Features],
    *,
    debiased: bool,
    positives: Tensor | None = None,
    reduce: Reduce = sum_over_processes,
) -> ApproximateTerms:
    """Compute the terms for two draws of features.

    Args:
        points: (B, M, d) unit vectors, M views of each of B images; in a process group, this rank's images.
        draws: two independent draws at the kernel's scale, the same on every rank.
        debiased: whether HSIC(Z, Z) is the U-statistic over images; else it is the plug-in estimate over rows.
        positives: `positive_mean` of the points, for the estimate with less noise; None gives the paper's estimate.
        reduce: adds sums up over processes.

    Returns:
        The terms of the global batch, the same on every rank that has the same draws.
    """
    regularizer = UnbiasedHSIC(*_centers(points, draws, reduce)) if debiased else BiasedHSIC()
    summand = _LossSums(regularizer, all_from_first=positives is None)
    images, *sums = batch_sums(points, draws, summand, reduce)
    views = points.shape[1]
    rows = images * views
    zz = regularizer.estimate(tuple(sums[4:]), images)
    means = [(total / rows).square().sum() for total in (sums[0], sums[2])]
    if positives is not None:
        by_draw = positives - torch.stack(means)
        return ApproximateTerms(by_draw.mean(), by_draw.detach(), zz)
    own = [blocks_sum / (rows * (views - 1)) - 1.0 / (views - 1) for blocks_sum in (sums[1], sums[3])]
    by_draw = torch.stack(own) - torch.stack(means)
    return ApproximateTerms(by_draw[0], by_draw.detach(), zz)


def positive_mean(points: Tensor, kernel: Kernel, scale: Tensor, reduce: Reduce = sum_over_processes) -> Tensor:
    """Compute the mean kernel value over pairs of distinct views of one image, for the global batch.

    Args:
        points: (B, M, d) unit vectors; in a process group, this rank's images.
        kernel: a kernel with a profile.
        scale: the kernel scale c, without gradient.
        reduce: adds sums up over processes.
    """
    images, views, _ = points.shape
    values = _PositiveSum.apply(points, scale.to(points.dtype), kernel)
    total = reduce(torch.stack([values, values.new_full((), float(images * views * (views - 1)))]))
    return total[0] / total[1]


class _PositiveSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, scale: Tensor, kernel: Kernel) -> Tensor:
        assert kernel.profile is not None
        ctx.save_for_backward(points, scale)
        ctx.kernel = kernel
        values = kernel.profile(squared_distances(points, points), scale)
        return values.sum() - values.diagonal(dim1=1, dim2=2).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        points, scale = ctx.saved_tensors
        # Same precision as in forward, wherever backward is called.
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            weights = ctx.kernel.slope(squared_distances(points, points), scale)
            weights.diagonal(dim1=1, dim2=2).zero_()
            slopes = weights @ points - weights.sum(dim=2, keepdim=True) * points
        return FirstDerivative.apply(4 * gradients[0] * slopes, points, gradients[0]), None, None


class _LossSums(Summand):
    """Number of images, sums of HSIC(Z, Y) for each draw, and sums of HSIC(Z, Z) for both.

    Args:
        regularizer: the sums of HSIC(Z, Z).
        all_from_first: whether the second draw's part of HSIC(Z, Y) only estimates noise and has no gradient; else both
            parts have a gradient, and pairs of an image's views are left out.
    """

    def __init__(self, regularizer: BiasedHSIC | UnbiasedHSIC, *, all_from_first: bool) -> None:
        self.regularizer = regularizer
        self.all_from_first = all_from_first

    def sums(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        images = first.new_full((), float(len(first)))
        zy = [part for features in (first, second) for part in (features.sum(dim=(0, 1)), self._positives(features))]
        return images, *zy, *self.regularizer.sums(first, second)

    def inner(self, first: Tensor, second: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        _, total, positives, total_again, _, *others = weights
        zz = self.regularizer.inner(first, second, tuple(others))
        zy = (first @ total).sum()
        return zz + zy + (positives * self._positives(first) if self.all_from_first else (second @ total_again).sum())

    def _positives(self, features: Tensor) -> Tensor:
        return features.sum(dim=1).square().sum() if self.all_from_first else features.new_zeros(())


@torch.no_grad()
def _centers(points: Tensor, draws: tuple[Features, Features], reduce: Reduce) -> Iterable[Tensor]:
    """Return each draw's mean feature over the first block of every process, close to the global batch's mean."""
    means = [draw(blocks(points)[0]).mean(dim=(0, 1)) for draw in draws]
    total = reduce(torch.cat([*means, points.new_ones(1)]))
    return (total[:-1] / total[-1]).split([len(mean) for mean in means])
