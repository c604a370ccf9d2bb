"""Differentiable sums and gathers over the processes of a group."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

# Adds a tensor up over the processes of a batch: `sum_over_processes`, or `sum_alone` if each process has all of it.
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
    """Tell whether a process group of more than one process is initialized."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def process_count() -> int:
    """Return the number of processes in the group; 1 without a group."""
    return dist.get_world_size() if is_distributed() else 1


def process_rank() -> int:
    """Return this process's rank in the group; 0 without a group."""
    return dist.get_rank() if is_distributed() else 0


def sum_alone(local: Tensor) -> Tensor:
    """Return the tensor itself."""
    return local


def sum_over_processes(local: Tensor) -> Tensor:
    """Sum a tensor over all processes; the identity if there is only one.

    The backward pass sums the gradient over all processes too. A loss computed from such sums on every rank therefore
    gives, after DistributedDataParallel's mean over ranks, exactly the gradient of the global batch, without rescaling.
    """
    result: Tensor = _AllReduceSum.apply(local) if is_distributed() else local
    return result


def sum_each(parts: Sequence[Tensor], reduce: Reduce = sum_over_processes) -> tuple[Tensor, ...]:
    """Sum each of several tensors over all processes, in one exchange.

    Args:
        parts: tensors of one dtype, any shapes, which must agree between processes.
        reduce: sums a tensor over processes.
    """
    total = reduce(torch.cat([part.flatten() for part in parts]))
    pieces = total.split([part.numel() for part in parts])
    return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


class GatheredRows(NamedTuple):
    """The rows of all processes.

    Attributes:
        rows: (N, ...) ordered by rank, each process's rows in their order.
        start: index of this process's first row.
    """

    rows: Tensor
    start: int


def gather_over_processes(local: Tensor) -> GatheredRows:
    """Gather the rows of all processes, which may differ in number; return the tensor itself if there is only one.

    The backward pass sums the gradient over all processes, as in `sum_over_processes`, and gives each process that of
    its own rows. The numbers of rows are exchanged on the host, so that no GPU synchronization is needed.

    Args:
        local: (n, ...) this process's rows; all dimensions but n must agree between processes.
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
    """Sum a number of rows over processes, on the host, without GPU synchronization."""
    return sum(_gather_counts(count)) if is_distributed() else count


def _gather_counts(count: int) -> list[int]:
    group = _host_group(dist.group.WORLD)
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([count]), group=group)
    return [int(each) for each in counts]


@lru_cache(maxsize=1)
def _host_group(world: Any) -> Any:
    """Return a group of the same processes that exchanges data in host memory."""
    if dist.get_backend(world) == dist.Backend.GLOO:
        return world
    return dist.new_group(backend=dist.Backend.GLOO)
