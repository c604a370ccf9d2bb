"""Sums over the processes of a group, and the rows of all of them, that autograd can go back through."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

# Adds up a tensor over those who share a batch: `sum_over_processes`, or `sum_alone` where each process has all of it.
Reduce = Callable[[Tensor], Tensor]


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


def process_count() -> int:
    """How many processes are in the group; 1 without one."""
    return dist.get_world_size() if is_distributed() else 1


def process_rank() -> int:
    """Which of them this is; 0 without a group."""
    return dist.get_rank() if is_distributed() else 0


def sum_alone(local: Tensor) -> Tensor:
    """Return the tensor itself."""
    return local


def sum_over_processes(local: Tensor) -> Tensor:
    """Sum a tensor over all processes; the identity where there is only one.

    The backward pass sums the gradient over all processes too. A loss computed from such sums on every rank therefore
    gives, after DistributedDataParallel's mean over ranks, exactly the gradient of the global batch, without rescaling.
    """
    result: Tensor = _AllReduceSum.apply(local) if is_distributed() else local
    return result


def sum_each(parts: Sequence[Tensor], reduce: Reduce = sum_over_processes) -> tuple[Tensor, ...]:
    """Sum each of several tensors over all processes, in one exchange.

    Args:
        parts: tensors of one dtype, any shapes, which must agree between processes.
        reduce: how a tensor is summed.
    """
    total = reduce(torch.cat([part.flatten() for part in parts]))
    pieces = total.split([part.numel() for part in parts])
    return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


class GatheredRows(NamedTuple):
    """The rows of all processes.

    Attributes:
        rows: (N, ...) by rank, each process's in order.
        start: where this process's rows begin.
    """

    rows: Tensor
    start: int


def gather_over_processes(local: Tensor) -> GatheredRows:
    """Gather the rows of all processes, however many each has; the tensor itself where there is only one.

    The backward pass sums the gradient over all processes, as `sum_over_processes` does, and hands each its own rows'.
    Shares are compared on the host, so that a GPU is not waited for.

    Args:
        local: (n, ...) this process's rows; all but n must agree between processes.
    """
    if not is_distributed():
        return GatheredRows(local, 0)
    counts = _gather_counts(len(local))
    rows: Tensor = _AllGather.apply(local, counts)
    return GatheredRows(rows, sum(counts[: dist.get_rank()]))


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        most = max(counts)
        padded = local.new_zeros(most, *local.shape[1:])
        padded[: len(local)] = local
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.split(ctx.counts)[dist.get_rank()], None


def count_over_processes(count: int) -> int:
    """Add up a number of rows over processes, on the host: a GPU is not waited for."""
    return sum(_gather_counts(count)) if is_distributed() else count


def _gather_counts(count: int) -> list[int]:
    group = _host_group(dist.group.WORLD)
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([count]), group=group)
    return [int(each) for each in counts]


@lru_cache(maxsize=1)
def _host_group(world: Any) -> Any:
    """The same processes in a group that exchanges what lies in the host's memory."""
    if dist.get_backend(world) == dist.Backend.GLOO:
        return world
    return dist.new_group(backend=dist.Backend.GLOO)
