"""The losses of other methods, from the lightly package, behind the interface of ours: views in, loss and scalars out.

Across processes each takes the rows of all of them (lightly gathers), so that DistributedDataParallel's mean gradient
is that of the global batch. All are functions of the batch's embeddings, so that `micro_batch_size` serves them, too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.hsic.distributed import is_distributed


class _Rival(nn.Module):
    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of (B, d) views in float32, under autocast too; there are no scalars besides."""
        with torch.autocast(views[0].device.type, enabled=False):
            loss = self.compute(*(view if view.dtype == torch.float64 else view.float() for view in views))
        return loss, {}

    def compute(self, *views: Tensor) -> Tensor:
        """The loss of views in full precision."""
        raise TypeError(f"{type(self).__name__} must say what it computes")


class BYOL(_Rival):
    """Negative cosine similarity of each prediction with the other view's target (Grill et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.distance = _lightly("NegativeCosineSimilarity")()

    def compute(self, *views: Tensor) -> Tensor:
        """The mean over q(v1), t(v2) and q(v2), t(v1)."""
        first, second, second_target, first_target = views
        loss: Tensor = (self.distance(first, second_target) + self.distance(second, first_target)) / 2
        return loss


class _Pair(_Rival):
    """A loss of lightly's of two views."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__()
        self.loss = _lightly(name)(**settings, gather_distributed=is_distributed())

    def compute(self, *views: Tensor) -> Tensor:
        """The loss of the two projections."""
        loss: Tensor = self.loss(*views)
        return loss


class NTXent(_Pair):
    """SimCLR's contrastive loss (Chen et al. 2020).

    Args:
        temperature: of the similarities.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__("NTXentLoss", temperature=temperature)


class VICReg(_Pair):
    """Variance, invariance and covariance, in the paper's weights 25, 25 and 1 (Bardes et al. 2022)."""

    def __init__(self) -> None:
        super().__init__("VICRegLoss")


class BarlowTwins(_Pair):
    """Cross-correlation towards the identity (Zbontar et al. 2021).

    Args:
        redundancy_weight: λ, weight of the off-diagonal terms.
    """

    def __init__(self, redundancy_weight: float = 5e-3) -> None:
        super().__init__("BarlowTwinsLoss", lambda_param=redundancy_weight)


def _lightly(name: str) -> Any:
    return getattr(optional_import("lightly.loss", extra="bench", purpose="A rival's objective"), name)
