"""HSIC between two random-feature maps of grouped rows, without bias and linear in the number of groups.

Rows come in groups, the M views of an image; groups are independent, rows within one are not. For features a, b of the
rows the quantity is ‖E[a bᵀ] − E[a] E[b]ᵀ‖²_F, the mean being over groups and rows. Its U-statistic takes products over
distinct groups only:

    mean over i≠j of ⟨X_i, X_j⟩  −  2 · mean over distinct i, j, k of ā_jᵀ X_i b̄_k
        +  mean over distinct i, j, k, l of (ā_i·ā_j)(b̄_k·b̄_l),

where X_i is the mean of a bᵀ over group i and ā_i, b̄_i are the means of a and b. Sums over distinct indices follow from
sums over all of them by inclusion and exclusion, so that a few sums over groups suffice: linear in the batch, and exact
across processes by adding these sums up. For M = 1 this is the estimator of Song et al. 2012.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.hsic.distributed import sum_over_processes


@dataclass(frozen=True)
class _Sums:
    """Sums over groups i; each name tells what is summed."""

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


def unbiased_hsic(first: Tensor, second: Tensor, groups: Tensor, *, global_batch: bool = True) -> Tensor:
    """The unbiased estimate of ‖Cov(a, b)‖²_F; it can be negative.

    Args:
        first: (B, M, D) features a. Adding a constant vector changes nothing; for precision, subtract the mean.
        second: (B, M, E) features b.
        groups: B over all processes, a scalar tensor. Below four there is no unbiased estimate; a mean over no terms is
            taken as zero.
        global_batch: whether to add up the rows of all processes.

    Returns:
        A scalar tensor, the same on every process.
    """
    s = _sum(first, second)
    if global_batch:
        s = _over_processes(s)
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


def _sum(first: Tensor, second: Tensor) -> _Sums:
    views = first.shape[1]
    a, b = first.mean(dim=1), second.mean(dim=1)
    first_gram, second_gram = first @ first.mT, second @ second.mT
    first_row, second_row = first_gram.mean(dim=2), second_gram.mean(dim=2)  # a_p·ā and b_p·b̄, (B, M)
    aa, bb = a.square().sum(dim=1), b.square().sum(dim=1)
    return _Sums(
        x=first.flatten(0, 1).T @ second.flatten(0, 1) / views,
        ab=a.T @ b,
        a=a.sum(dim=0),
        b=b.sum(dim=0),
        xb=second_row.flatten() @ first.flatten(0, 1) / views,
        xa=first_row.flatten() @ second.flatten(0, 1) / views,
        bb_a=bb @ a,
        aa_b=aa @ b,
        xx=(first_gram * second_gram).sum() / views**2,
        axb=(first_row * second_row).sum() / views,
        aa=aa.sum(),
        bb=bb.sum(),
        aabb=aa @ bb,
    )


def _over_processes(sums: _Sums) -> _Sums:
    parts = vars(sums)
    total = sum_over_processes(torch.cat([part.flatten() for part in parts.values()]))
    sizes = [part.numel() for part in parts.values()]
    pieces = zip(parts.items(), total.split(sizes), strict=True)
    return _Sums(**{name: piece.view_as(part) for (name, part), piece in pieces})
