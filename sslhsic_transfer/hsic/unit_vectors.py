"""Normalization of vectors with few passes over memory: a batch's embeddings may be larger than any cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_NORM = 1e-6


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale each vector of the last dimension to norm 1. Finite vectors never overflow; a zero vector stays zero.

    Args:
        vectors: (…, d), floating.

    Returns:
        (…, d); only first derivatives are available.
    """
    scaled: Tensor = _UnitVectors.apply(vectors)
    return scaled


class _UnitVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        largest = torch.linalg.vector_norm(vectors, ord=torch.inf, dim=-1, keepdim=True)
        largest = torch.where(largest > torch.finfo(vectors.dtype).tiny, largest, 1.0)
        units = vectors / largest  # avoids overflow of large squares and underflow of small ones
        norm = torch.linalg.vector_norm(units, dim=-1, keepdim=True)
        units.div_(norm.clamp_min(_LEAST_NORM))
        ctx.save_for_backward(units, largest, norm)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        units, largest, norm = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            along = torch.linalg.vecdot(gradient, units)[..., None]
        along = torch.where(norm >= _LEAST_NORM, along, 0.0)  # vectors not scaled to norm 1 keep the full gradient
        return torch.addcmul(gradient, units, along, value=-1).div_(norm.clamp_min(_LEAST_NORM) * largest)
