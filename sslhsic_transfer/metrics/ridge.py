"""A linear classifier in closed form: ridge regression on class indicators, with leave-one-out at no extra cost."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsic_transfer.errors import InputError

# Weights of ‖w‖² relative to the mean squared error, for standardized features.
PENALTIES = tuple(10.0**exponent for exponent in range(-4, 3))


def ridge_accuracy(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor | None = None,
    test_labels: Tensor | None = None,
    *,
    penalties: tuple[float, ...] = PENALTIES,
) -> float:
    """Compute the accuracy of a ridge classifier, whose penalty is chosen by leave-one-out on the training rows.

    It is a linear probe that takes about a second, without iterations or randomness. Features are standardized by the
    training rows.

    Args:
        train: (N, D) embeddings, N ≥ 2.
        train_labels: (N,) integer classes from 0.
        test: (T, D) embeddings; None: return the best leave-one-out accuracy, which is slightly too high because the
            penalty was chosen by it.
        test_labels: (T,) classes; None with ``test=None``.
        penalties: penalties to choose from.

    Returns:
        Share of correctly classified rows, from 0 to 1.

    Raises:
        InputError: shapes do not match, there are fewer than two rows, or test rows lack labels.
    """
    if (test is None) != (test_labels is None):
        raise InputError("Got one of test and test_labels; expected both, or neither for leave-one-out.")
    _check(train, train_labels, 2)
    x, mean, std = _standardized(train)
    targets = F.one_hot(train_labels.long()).to(x)
    prior = targets.mean(dim=0)
    centered = targets - prior
    left, singular, right = _thin_svd(x)
    projected = left.T @ centered
    best = (-1.0, 0.0)
    for penalty in penalties:
        kept = singular**2 / (singular**2 + penalty * len(x))
        fitted = prior + left @ (kept[:, None] * projected)
        leverage = 1 / len(x) + (left**2) @ kept  # of each row, including that of the mean
        held_out = fitted - (targets - fitted) * (leverage / (1 - leverage).clamp(min=1e-12))[:, None]
        best = max(best, (_accuracy(held_out, train_labels), penalty))
    if test is None or test_labels is None:
        return best[0]
    _check(test, test_labels, 1)
    weights = right @ ((singular / (singular**2 + best[1] * len(x)))[:, None] * projected)
    return _accuracy(((test.double() - mean) / std) @ weights + prior, test_labels)


def _standardized(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    values = values.double()
    mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
    std = torch.where(std > 1e-12, std, 1.0)
    return (values - mean) / std, mean, std


def _thin_svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute U (N, r), s (r) and V (D, r) of the r nonzero directions, from the smaller of the two Gram matrices."""
    rows, columns = x.shape
    squares, vectors = torch.linalg.eigh(x.T @ x if rows >= columns else x @ x.T)
    there = squares > squares[-1].clamp(min=1e-300) * 1e-12
    singular, vectors = squares[there].sqrt(), vectors[:, there]
    if rows >= columns:
        return x @ vectors / singular, singular, vectors
    return vectors, singular, x.T @ vectors / singular


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return (scores.argmax(dim=1) == labels.to(scores.device)).float().mean().item()


def _check(values: Tensor, labels: Tensor, least: int) -> None:
    if values.ndim != 2 or len(values) != len(labels) or len(values) < least:
        raise InputError(
            f"Got embeddings of shape {tuple(values.shape)} and {len(labels)} labels; expected (N, D) and as many "
            f"labels, at least {least}."
        )
