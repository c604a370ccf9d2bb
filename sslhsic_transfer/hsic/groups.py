"""HSIC between two feature maps of grouped rows, linear in the number of groups.

Rows come in groups, the M views of an image. Groups are independent, rows within a group are not. For features a, b of
the rows the quantity is ‖E[a bᵀ] − E[a] E[b]ᵀ‖²_F, where the mean is over groups and rows. With X_i the mean of a bᵀ
over group i, and ā_i, b̄_i the means of a and b, the plug-in estimate is ‖mean X_i − mean ā_i (mean b̄_i)ᵀ‖². Its bias
comes from products of a group with itself; the U-statistic takes only products over distinct groups:

    mean over i≠j of ⟨X_i, X_j⟩  −  2 · mean over distinct i, j, k of ā_jᵀ X_i b̄_k
        +  mean over distinct i, j, k, l of (ā_i·ā_j)(b̄_k·b̄_l).

Sums over distinct indices follow from sums over all indices by inclusion and exclusion, so a few sums over groups
suffice. For M = 1 this is the estimator of Song et al. 2012.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sslhsic_transfer.hsic.sums import Summand, inner_product


class _Sums(NamedTuple):
    """Sums over groups i of the quantities in the comments."""

    x: Tensor  # X_i, (D, E)
    ab: Tensor  # ā_i b̄_iᵀ, (D, E)
    a: Tensor  # ā_i, (D,)
    b: Tensor  # b̄_i, (E,)
    xb: Tensor  # X_i b̄_i, (D,)
    xa: Tensor  # X_iᵀ ā_i, (E,)
    bb_a: Tensor  # ‖b̄_i‖² ā_i, (D,)
    aa_b: Tensor  # ‖ā_i‖² b̄_i, (E,)
    xx: Tensor  # ‖X_i‖²_F
    axb: Tensor  # ā_iᵀ X_i b̄_i
    aa: Tensor  # ‖ā_i‖²
    bb: Tensor  # ‖b̄_i‖²
    aabb: Tensor  # ‖ā_i‖² ‖b̄_i‖²


class BiasedHSIC(Summand):
    """The plug-in estimate of ‖Cov(a, b)‖²_F, as in the paper, from sums over groups."""

    def sums(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """Return the sums of X_i, ā_i and b̄_i over the groups of (b, M, D) and (b, M, E) features."""
        views = first.shape[1]
        products = first.flatten(0, 1).T @ second.flatten(0, 1)
        return products / views, first.sum(dim=(0, 1)) / views, second.sum(dim=(0, 1)) / views

    def inner(self, first: Tensor, second: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return ⟨weights, sums⟩ without computing the product of features."""
        x, a, b = weights
        return ((first @ x + b) * second).sum() / first.shape[1] + (first @ a).sum() / first.shape[1]

    @staticmethod
    def estimate(sums: tuple[Tensor, ...], groups: Tensor) -> Tensor:
        """Return the estimate from the sums over all groups, whose number is ``groups``."""
        x, a, b = (total / groups for total in sums)
        return (x - torch.outer(a, b)).square().sum()


class UnbiasedHSIC(Summand):
    """The unbiased estimate of ‖Cov(a, b)‖²_F, from sums over groups.

    Args:
        first_center: (D,) constant to subtract from features a. It does not change the result; near the features' mean
            it avoids loss of precision.
        second_center: (E,) constant to subtract from features b.
    """

    def __init__(self, first_center: Tensor, second_center: Tensor) -> None:
        self._centers = first_center, second_center

    def sums(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over the groups of (b, M, D) and (b, M, E) features."""
        views = first.shape[1]
        first, second = first - self._centers[0], second - self._centers[1]
        x = first.flatten(0, 1).T @ second.flatten(0, 1) / views
        ab = first.mean(dim=1).T @ second.mean(dim=1)
        return _Sums(x, ab, *_vector_sums(first, second))

    def inner(self, first: Tensor, second: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return ⟨weights, sums⟩ without computing the products of features."""
        x, ab, *others = weights
        first, second = first - self._centers[0], second - self._centers[1]
        products = ((first @ x) * second).sum() / first.shape[1]
        products = products + ((first.mean(dim=1) @ ab) * second.mean(dim=1)).sum()
        return products + inner_product(others, _vector_sums(first, second))

    @staticmethod
    def estimate(sums: tuple[Tensor, ...], groups: Tensor) -> Tensor:
        """Return the estimate from the sums over all groups; it can be negative.

        Args:
            sums: see `sums`.
            groups: the number of groups, a scalar tensor. Below four there is no unbiased estimate; a mean over no
                terms is taken as zero.
        """
        s = _Sums(*sums)
        pairs = groups * (groups - 1)
        triples = pairs * (groups - 2)
        quadruples = triples * (groups - 3)

        two = s.x.square().sum() - s.xx
        three = s.a @ s.x @ s.b - s.xa @ s.b - s.a @ s.xb - (s.x * s.ab).sum() + 2 * s.axb
        # Song et al.'s sum over distinct quadruples, for the matrices ā_i·ā_j and b̄_i·b̄_j with their diagonals removed.
        totals = (s.a @ s.a - s.aa) * (s.b @ s.b - s.bb)
        chains = s.a @ s.ab @ s.b - s.bb_a @ s.a - s.aa_b @ s.b + s.aabb
        returns = s.ab.square().sum() - s.aabb
        four = totals - 4 * chains + 2 * returns
        return two / pairs.clamp_min(1) - 2 * three / triples.clamp_min(1) + four / quadruples.clamp_min(1)


def _vector_sums(first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    """Return all of `_Sums` but the two matrices, in order."""
    views = first.shape[1]
    a, b = first.mean(dim=1), second.mean(dim=1)
    first_gram, second_gram = first @ first.mT, second @ second.mT
    first_row, second_row = first_gram.mean(dim=2), second_gram.mean(dim=2)  # a_p·ā and b_p·b̄, (B, M)
    aa, bb = a.square().sum(dim=1), b.square().sum(dim=1)
    return (
        a.sum(dim=0),
        b.sum(dim=0),
        second_row.flatten() @ first.flatten(0, 1) / views,
        first_row.flatten() @ second.flatten(0, 1) / views,
        bb @ a,
        aa @ b,
        (first_gram * second_gram).sum() / views**2,
        (first_row * second_row).sum() / views,
        aa.sum(),
        bb.sum(),
        aa @ bb,
    )
