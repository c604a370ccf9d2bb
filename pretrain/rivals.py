"""Losses of other methods with the same interface as `SSLHSICLoss`, exact across processes.

On ordinary embeddings in one process, each agrees with the lightly package's loss to the last digits. Beyond that,
means, variances and correlations are computed over the rows of all processes, whatever the share of each. Every process
thus has the global batch's loss, and DistributedDataParallel's mean gradient is the global batch's. Cosines and
correlations do not overflow or vanish with the embeddings' length. All losses are functions of the batch's embeddings,
so `micro_batch_size` works with them, too.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.hsic.distributed import (
    gather_over_processes,
    is_distributed,
    process_count,
    sum_each,
    sum_over_processes,
)
from sslhsic_transfer.hsic.unit_vectors import unit_vectors


class _Rival(nn.Module):
    """Base class of the losses: checks the views and computes in full precision.

    Attributes:
        num_views: number of views that the loss takes.
        min_rows: least number of rows of all processes together.
    """

    num_views: ClassVar[int] = 2
    min_rows: ClassVar[int] = 1

    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of the global batch.

        Args:
            views: (B, d) each; in a process group this process's rows, where B may differ between processes. The
                computation uses at least float32, also under autocast.

        Returns:
            The loss, the same in every process, and an empty dict of scalars.

        Raises:
            InputError: the number of views is wrong, they differ in shape, or there are too few rows.
        """
        self._check(views)
        with torch.autocast(views[0].device.type, enabled=False):
            loss = self.compute(*(view if view.dtype == torch.float64 else view.float() for view in views))
        return loss, {}

    def compute(self, *views: Tensor) -> Tensor:
        """Compute the loss of views in full precision."""
        raise TypeError(f"{type(self).__name__} must say what it computes")

    def _check(self, views: Sequence[Tensor]) -> None:
        shapes = [tuple(view.shape) for view in views]
        least = 1 if is_distributed() else self.min_rows
        if len(shapes) != self.num_views or len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][0] < least:
            raise InputError(
                f"{type(self).__name__} got {len(shapes)} views of shapes {shapes}; expected {self.num_views}, all of "
                f"one shape (B, d) with B ≥ {least}."
            )


class BYOL(_Rival):
    """Negative cosine similarity of each prediction with the other view's target (Grill et al. 2020).

    The views are q(v1), q(v2), t(v2), t(v1).
    """

    num_views = 4

    def compute(self, *views: Tensor) -> Tensor:
        """Compute the mean over the pairs q(v1), t(v2) and q(v2), t(v1)."""
        predictions, targets = (unit_vectors(torch.stack(pair)) for pair in (views[:2], views[2:]))
        cosines = (predictions * targets).sum(dim=-1)
        total, count = sum_over_processes(torch.stack([cosines.sum(), cosines.new_tensor(cosines.numel())]))
        return -total / count


class NTXent(_Rival):
    """SimCLR's contrastive loss (Chen et al. 2020): each view against those of all rows of all processes.

    Args:
        temperature: the value that the similarities are divided by.

    Raises:
        ConfigError: the temperature is not positive and finite.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ConfigError(f"Got temperature={temperature}; expected a finite one > 0.")
        self.temperature = temperature

    def compute(self, *views: Tensor) -> Tensor:
        """Compute the mean over both views of all rows; each process compares its own rows with all rows."""
        own = unit_vectors(torch.stack(views, dim=1))
        everyone, before = gather_over_processes(own)
        rows, others = own.flatten(0, 1), everyone.flatten(0, 1)  # 2i and 2i + 1 are the views of row i
        places = torch.arange(len(rows), device=rows.device) + 2 * before
        logits = (rows @ others.T / self.temperature).scatter(1, places[:, None], -math.inf)
        return sum_over_processes(F.cross_entropy(logits, places ^ 1, reduction="sum")) / len(others)


class VICReg(_Rival):
    """Variance, invariance and covariance, in the paper's weights 25, 25 and 1 (Bardes et al. 2022).

    It grows with the fourth power of the embeddings: in float32 it is finite up to values of about 1e8.
    """

    min_rows = 2

    def compute(self, *views: Tensor) -> Tensor:
        """Compute the weighted sum of the three terms."""
        stacked = torch.stack(views)
        centered, rows = _centered(stacked)
        difference, squares, products = sum_each(
            ((stacked[0] - stacked[1]).square().sum(), centered.square().sum(dim=1), centered.mT @ centered)
        )
        dim = stacked.shape[-1]
        variance, covariance = squares / (rows - 1), _off_diagonal(products / (rows - 1))
        return (
            25 * difference / (rows * dim)
            + 25 * F.relu(1 - (variance + 1e-4).sqrt()).mean()
            + covariance.square().sum() / dim
        )


class BarlowTwins(_Rival):
    """Distance of the views' cross-correlation from the identity (Zbontar et al. 2021).

    Args:
        redundancy_weight: λ, weight of the off-diagonal terms.
    """

    min_rows = 2

    def __init__(self, redundancy_weight: float = 5e-3) -> None:
        super().__init__()
        self.redundancy_weight = redundancy_weight

    def compute(self, *views: Tensor) -> Tensor:
        """Compute the squared distance from the identity; off-diagonal terms are multiplied by λ."""
        first, second, rows = _standardized(torch.stack(views))
        correlation = sum_over_processes(first.T @ second) / rows
        on_diagonal = (correlation.diagonal() - 1).square().sum()
        return on_diagonal + self.redundancy_weight * _off_diagonal(correlation).square().sum()


def _centered(views: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract each view's mean over the rows of all processes: (M, B, d) -> (M, B, d), and the number of rows."""
    sums, rows = sum_each((views.sum(dim=1, keepdim=True), views.new_tensor(float(views.shape[1]))))
    return views - sums / rows, rows


def _standardized(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Standardize two views to mean 0 and variance 1 in each dimension, as BatchNorm does, over all processes' rows.

    Args:
        views: (2, B, d).

    Returns:
        Both views (B, d), and the number of rows of all processes.
    """
    processes = process_count()
    # Dividing by about the largest value keeps squares of huge values from overflowing; the result stays the same.
    largest = views.detach().abs().amax(dim=1, keepdim=True)
    scale = sum_over_processes(largest / processes).clamp_min(1)
    centered, rows = _centered(views / scale)
    variance = sum_over_processes(centered.square().sum(dim=1, keepdim=True)) / rows
    epsilon = (1e-5 / scale.square()).clamp_min(torch.finfo(views.dtype).eps ** 2)
    first, second = centered * (variance + epsilon).rsqrt()
    return first, second, rows


def _off_diagonal(matrices: Tensor) -> Tensor:
    """Set the diagonal of (…, d, d) to zero."""
    return matrices - torch.diag_embed(matrices.diagonal(dim1=-2, dim2=-1))
