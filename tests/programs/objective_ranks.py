"""A step of every objective on a small network in float64, whole or in micro-batches, by one process or by many.

Started by torchrun with the rows of each process and a file: process 0 saves what each of them found, as
{(case, micro-batches): [result of each rank]}.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sslhsic_transfer.pretrain import Recipe
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.objectives import OBJECTIVES

ROWS = 32
MICRO_BATCHES = (1, 4)
WIDTH, DIM = 12, 6

# Case -> what its recipe says: each row of the table, and settings of an objective that change what it computes.
CASES: dict[str, dict] = {name: {"objective": name} for name in OBJECTIVES} | {
    "ssl-hsic, debiased": {"objective": "ssl-hsic", "loss": {"regularizer": "debiased"}},
    "ssl-hsic, features": {"objective": "ssl-hsic", "loss": {"estimator": "features", "draws": 2}},
    "ssl-hsic, the paper's features": {
        "objective": "ssl-hsic",
        "loss": {"estimator": "features", "low_noise": False, "regularizer": "debiased"},
    },
}


class Result(NamedTuple):
    """The results of one process after a step: detached tensors.

    Attributes:
        loss: the criterion's.
        scalars: what the criterion says besides.
        network: gradient of all trained weights, one vector.
        criterion: gradient of each parameter of the criterion.
    """

    loss: Tensor
    scalars: dict[str, Tensor]
    network: Tensor
    criterion: dict[str, Tensor]


class Networks(nn.Module):
    """The views of an objective, with or without those of a target network; no BatchNorm."""

    def __init__(self, uses_target: bool) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, DIM)).double()
        self.target = nn.Linear(WIDTH, DIM).double().requires_grad_(False) if uses_target else None

    def forward(self, view1: Tensor, view2: Tensor) -> list[Tensor]:
        trained = [self.online(view1), self.online(view2)]
        if self.target is None:
            return trained
        with torch.no_grad():
            return [*trained, self.target(view2), self.target(view1)]


def recipe_of(case: str) -> Recipe:
    settings = CASES[case]
    return Recipe(**settings | {"loss": {"num_features": 64} | settings.get("loss", {})})


def pictures() -> Tensor:
    """(2, ROWS, WIDTH): two views of each row that have something in common, as an image's do, and a common mean."""
    generator = torch.Generator().manual_seed(0)
    content, noise = (torch.randn(2, ROWS, WIDTH, dtype=torch.float64, generator=generator) for _ in range(2))
    return content[:1] + 0.5 * noise + 0.3


def step(case: str, micro_batches: int = 1, rank: int = 0, shares: tuple[int, ...] = (ROWS,)) -> Result:
    """Make the gradient of one process's share, cut into so many uneven micro-batches; without them in one pass."""
    recipe = recipe_of(case)
    torch.manual_seed(0)
    networks = Networks(OBJECTIVES[recipe.objective].uses_target)
    criterion = OBJECTIVES[recipe.objective].build(recipe)
    views = pictures().split(shares, dim=1)[rank]
    parts = uneven(views.shape[1], micro_batches)
    inputs = list(zip(*(view.split(parts) for view in views), strict=True))
    distributed = DistributedDataParallel(networks) if dist.is_initialized() else None
    embed = distributed or networks
    if len(inputs) == 1:
        loss, scalars = criterion(embed(*inputs[0]))
        loss.backward()
    else:
        quiet = distributed.no_sync if distributed else _nothing
        loss, scalars = two_pass_backward(embed, criterion, inputs, networks=networks, unsynchronized=quiet)
    return Result(
        loss.detach(),
        scalars,
        torch.cat([parameter.grad.flatten() for parameter in networks.online.parameters()]),
        {name: parameter.grad for name, parameter in criterion.named_parameters() if parameter.requires_grad},
    )


def uneven(rows: int, parts: int) -> list[int]:
    """Sizes of at most so many parts, none empty, the first larger than the others."""
    parts = min(parts, rows)
    small = max(1, rows // (2 * parts)) if parts > 1 else 0
    return [rows - small * (parts - 1), *[small] * (parts - 1)]


def _nothing() -> AbstractContextManager[None]:
    return nullcontext()


def main(shares: tuple[int, ...], output: str) -> None:
    dist.init_process_group("gloo")
    rank, processes = dist.get_rank(), dist.get_world_size()
    assert processes == len(shares), f"{processes} processes for {len(shares)} shares"
    found = {(case, count): step(case, count, rank, shares) for case in CASES for count in MICRO_BATCHES}
    everyone: list[dict] = [{}] * processes
    dist.all_gather_object(everyone, {key: tuple(result) for key, result in found.items()})
    if rank == 0:
        torch.save({key: [results[key] for results in everyone] for key in found}, output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(tuple(int(rows) for rows in sys.argv[1].split(",")), sys.argv[2])
