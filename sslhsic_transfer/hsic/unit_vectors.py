"""Vectors brought to norm 1, in few passes over memory: a batch's embeddings may be larger than any cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_NORM = 1e-6


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale each vector of the last dimension to norm 1; no finite one overflows, and a zero one stays zero.

    Args:
        vectors: (…, d), floating.

    Returns:
        (…, d); it has first derivatives only.
    """
    scaled: Tensor = _UnitVectors.apply(vectors)
    return scaled


class _UnitVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        largest = torch.linalg.vector_norm(vectors, ord=torch.inf, dim=-1, keepdim=True)
        largest = torch.where(largest > torch.finfo(vectors.dtype).tiny, largest, 1.0)
        units = vectors / largest  # else squares of large numbers overflow, and those of small ones vanish
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
        along = torch.where(norm >= _LEAST_NORM, along, 0.0)  # what is not brought to norm 1 keeps its direction free
        return torch.addcmul(gradient, units, along, value=-1).div_(norm.clamp_min(_LEAST_NORM) * largest)
