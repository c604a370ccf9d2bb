"""Sums over the processes of a group that autograd can go back through."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def is_distributed() -> bool:
    """Whether a process group of more than one process is initialised."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(local: Tensor) -> Tensor:
    """Sum a tensor over all processes; the identity where there is only one.

    The backward pass sums the gradient over all processes too. A loss computed from such sums on every rank therefore
    gives, after DistributedDataParallel's mean over ranks, exactly the gradient of the global batch, without rescaling.
    """
    result: Tensor = _AllReduceSum.apply(local) if is_distributed() else local
    return result
