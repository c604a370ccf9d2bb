"""The gradient of lightly's losses over processes, beside that of one process with all rows.

Started by torchrun with the rows of each process, a file, and the names of losses: process 0 saves, for each, the error
of the mean gradient relative to the whole batch's, as {name: error}. Networks and pictures are `objective_ranks`'s.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from torch import Tensor

from tests.programs.objective_ranks import Networks, pictures


def byol(first: Tensor, second: Tensor, second_target: Tensor, first_target: Tensor) -> Tensor:
    distance = NegativeCosineSimilarity()
    return (distance(first, second_target) + distance(second, first_target)) / 2


# Name -> whether it has a target network, and the loss, which gathers where there are several processes.
LOSSES: dict[str, tuple[bool, Callable[[bool], Callable[..., Tensor]]]] = {
    "byol": (True, lambda gather: byol),
    "simclr": (False, lambda gather: NTXentLoss(temperature=0.5, gather_distributed=gather)),
    "vicreg": (False, lambda gather: VICRegLoss(gather_distributed=gather)),
    "barlow-twins": (False, lambda gather: BarlowTwinsLoss(gather_distributed=gather)),
}


def gradient(name: str, views: Tensor, *, gather: bool) -> Tensor:
    uses_target, build = LOSSES[name]
    torch.manual_seed(0)
    networks = Networks(uses_target)
    build(gather)(*networks(*views)).backward()
    return torch.cat([parameter.grad.flatten() for parameter in networks.online.parameters()])


def main(shares: tuple[int, ...], output: str, names: list[str]) -> None:
    dist.init_process_group("gloo")
    rank, errors = dist.get_rank(), {}
    for name in names:
        found = gradient(name, pictures().split(shares, dim=1)[rank], gather=True)
        dist.all_reduce(found)
        whole = gradient(name, pictures(), gather=False)
        errors[name] = ((found / len(shares) - whole).norm() / whole.norm()).item()
    if rank == 0:
        Path(output).write_text(json.dumps(errors), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(tuple(int(rows) for rows in sys.argv[1].split(",")), sys.argv[2], sys.argv[3:])
