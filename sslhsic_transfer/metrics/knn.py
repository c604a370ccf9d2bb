"""Weighted k-nearest-neighbor classification of embeddings (Wu et al. 2018, section 3.4)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsic_transfer.errors import InputError

TEMPERATURE = 0.07


def knn_predict(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = TEMPERATURE,
    chunk: int = 1024,
) -> Tensor:
    """Predict a class for each query by a vote of its k nearest rows of the bank.

    Similarity is the cosine s; a neighbor votes with weight exp(s / temperature).

    Args:
        bank: (N, D) embeddings.
        bank_labels: (N,) integer classes from 0.
        queries: (Q, D) embeddings; None: the bank's rows query one another, each without itself (leave-one-out).
        k: number of neighbors; limited to the available ones.
        temperature: temperature of the weights.
        chunk: number of queries at a time, to limit memory.

    Returns:
        (Q,) predicted classes.

    Raises:
        InputError: shapes do not match, or the bank is empty.
    """
    points = bank if queries is None else queries
    if bank.ndim != 2 or points.ndim != 2 or bank.shape[1] != points.shape[1] or len(bank) != len(bank_labels):
        raise InputError(
            f"Got a bank of {tuple(bank.shape)}, {len(bank_labels)} labels and queries of {tuple(points.shape)}; "
            "expected (N, D), N and (Q, D)."
        )
    k = min(k, len(bank) - (queries is None))
    if k < 1:
        raise InputError(f"Got a bank of {len(bank)} rows and k = {k}; expected at least one neighbor for each query.")
    bank = F.normalize(bank.float(), dim=1)
    points = F.normalize(points.float(), dim=1)
    bank_labels = bank_labels.long().to(bank.device)
    classes = int(bank_labels.max()) + 1
    predictions = []
    for start in range(0, len(points), chunk):
        similarity = points[start : start + chunk] @ bank.T
        if queries is None:
            rows = torch.arange(len(similarity), device=similarity.device)
            similarity[rows, rows + start] = -torch.inf
        nearest, index = similarity.topk(k, dim=1)
        # The largest weight is 1 at any temperature, so nothing overflows.
        weights = ((nearest - nearest[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(weights), classes).scatter_add_(1, bank_labels[index], weights)
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)


def knn_accuracy(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor | None = None,
    query_labels: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = TEMPERATURE,
) -> float:
    """Compute the share of queries, from 0 to 1, that `knn_predict` classifies correctly.

    Args:
        bank: (N, D) embeddings.
        bank_labels: (N,) integer classes from 0.
        queries: (Q, D) embeddings; None: leave-one-out over the bank.
        query_labels: (Q,) true classes; None with ``queries=None``.
        k: number of neighbors.
        temperature: temperature of the votes.

    Raises:
        InputError: shapes do not match, or queries lack labels.
    """
    if (queries is None) != (query_labels is None):
        raise InputError("Got one of queries and query_labels; expected both, or neither for leave-one-out.")
    truth = bank_labels if query_labels is None else query_labels
    predicted = knn_predict(bank, bank_labels, queries, k=k, temperature=temperature)
    if len(predicted) != len(truth):
        raise InputError(f"Got {len(predicted)} queries and {len(truth)} query labels; expected as many of both.")
    return (predicted == truth.to(predicted.device)).float().mean().item()
