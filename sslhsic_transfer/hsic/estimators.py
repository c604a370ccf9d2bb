"""HSIC and CKA of two sets of paired rows, from kernel matrices or, linear in the rows, from features.

HSIC (Gretton et al. 2005) is the squared Hilbert-Schmidt norm of the cross-covariance of two kernels' features. It is
zero for independent variables and, for characteristic kernels (all but the linear one), only for these. CKA (Kornblith
et al. 2019) is HSIC divided by the geometric mean of each side's HSIC with itself; it is 1 for equal representations.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.hsic.groups import UnbiasedHSIC

Estimator = Literal["biased", "unbiased"]


def hsic(first: Tensor, second: Tensor, estimator: Estimator = "unbiased") -> Tensor:
    """Compute HSIC from two kernel matrices.

    Args:
        first: (N, N) kernel matrix K of the first variable.
        second: (N, N) kernel matrix L of the second variable, rows in the same order.
        estimator: ``"biased"``: Tr(KHLH) / (N−1)², never negative (Gretton et al. 2005). ``"unbiased"``: the
            U-statistic of Song et al. 2012, which needs N ≥ 4 and can be negative.

    Returns:
        A scalar tensor.

    Raises:
        InputError: the matrices are not square, differ in size, or are too small.
    """
    if first.ndim != 2 or first.shape[0] != first.shape[1] or first.shape != second.shape:
        raise InputError(
            f"Got kernel matrices of shape {tuple(first.shape)} and {tuple(second.shape)}; expected both (N, N)."
        )
    n = len(first)
    _require_rows(n, estimator)
    if estimator == "biased":
        centered = first - first.mean(dim=0) - first.mean(dim=1, keepdim=True) + first.mean()
        return (centered * second.T).sum() / (n - 1) ** 2
    first, second = (matrix - torch.diag(matrix.diagonal()) for matrix in (first, second))
    trace = (first * second.T).sum()
    totals = first.sum() * second.sum() / ((n - 1) * (n - 2))
    chains = 2 / (n - 2) * (first.sum(dim=0) @ second.sum(dim=1))
    return (trace + totals - chains) / (n * (n - 3))


def hsic_from_features(first: Tensor, second: Tensor, estimator: Estimator = "unbiased") -> Tensor:
    """Compute HSIC of the kernels φ(x)·φ(x') and ψ(y)·ψ(y'), without an N × N matrix.

    With the rows themselves as features this is HSIC of linear kernels. With `draw_features` of another kernel it is
    that kernel's random-feature approximation.

    Args:
        first: (N, D) features φ of the first variable.
        second: (N, E) features ψ of the second variable.
        estimator: as for `hsic`; the result equals `hsic` of the kernel matrices.

    Returns:
        A scalar tensor.

    Raises:
        InputError: the shapes do not fit, or there are too few rows.
    """
    _check_rows(first, second)
    n = len(first)
    _require_rows(n, estimator)
    first_mean, second_mean = first.mean(dim=0), second.mean(dim=0)
    if estimator == "biased":
        return ((first - first_mean).T @ (second - second_mean)).square().sum() / (n - 1) ** 2
    summand = UnbiasedHSIC(first_mean, second_mean)
    sums = summand.sums(first[:, None], second[:, None])  # each row is its own group
    return summand.estimate(sums, first.new_tensor(float(n)))


def cka(first: Tensor, second: Tensor, estimator: Estimator = "unbiased") -> Tensor:
    """Compute centered kernel alignment from two kernel matrices: HSIC(K, L) / √(HSIC(K, K)·HSIC(L, L)).

    Args:
        first: (N, N) kernel matrix.
        second: (N, N) kernel matrix, rows in the same order.
        estimator: estimator of the three HSIC; see `hsic`. The biased one approaches 1 for few rows of many dimensions.

    Returns:
        A scalar tensor; for ``"biased"`` between 0 and 1.
    """
    return _normalized(hsic, first, second, estimator)


def cka_from_features(first: Tensor, second: Tensor, estimator: Estimator = "unbiased") -> Tensor:
    """Compute CKA of the kernels φ(x)·φ(x') and ψ(y)·ψ(y'), linear in N: linear CKA if the features are the rows.

    Args:
        first: (N, D) features.
        second: (N, E) features.
        estimator: see `hsic`.
    """
    return _normalized(hsic_from_features, first, second, estimator)


class MinibatchCKA:
    """CKA of representations that do not fit in memory together (Nguyen et al. 2021, section 3).

    The three HSIC are averaged over mini-batches before they are divided. As each is unbiased, the batch size affects
    their noise but adds no bias.

    >>> comparison = MinibatchCKA()
    >>> for images in loader:
    ...     comparison.update(encoder_a(images), encoder_b(images))
    >>> comparison.compute()
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)
        self._batches = 0

    def update(self, first: Tensor, second: Tensor) -> None:
        """Add a batch of features, (N, D) and (N, E) with N ≥ 4."""
        pairs = ((first, second), (first, first), (second, second))
        terms = torch.stack([hsic_from_features(a.detach(), b.detach()) for a, b in pairs])
        self._sums += terms.double().cpu()
        self._batches += 1

    def compute(self) -> float:
        """Return the CKA of all batches so far; NaN if one of the two is constant.

        Raises:
            InputError: no batch was added.
        """
        if not self._batches:
            raise InputError("No batch was added; call update(first, second) before compute().")
        between, first, second = self._sums.tolist()
        return float(between / (max(first, 0.0) * max(second, 0.0)) ** 0.5) if min(first, second) > 0 else float("nan")


def _normalized(
    measure: Callable[[Tensor, Tensor, Estimator], Tensor], first: Tensor, second: Tensor, estimator: Estimator
) -> Tensor:
    between = measure(first, second, estimator)
    return between / (measure(first, first, estimator) * measure(second, second, estimator)).sqrt()


def _check_rows(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise InputError(f"Got {tuple(first.shape)} and {tuple(second.shape)}; expected (N, D) and (N, E).")


def _require_rows(n: int, estimator: Estimator) -> None:
    if estimator not in ("biased", "unbiased"):
        raise InputError(f"Unknown estimator {estimator!r}; expected 'biased' or 'unbiased'.")
    least = {"biased": 2, "unbiased": 4}[estimator]
    if n < least:
        raise InputError(f"Got {n} rows; the {estimator} estimate needs at least {least}.")
