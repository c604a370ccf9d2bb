"""A program for torchrun: each process takes its own rows; process 0 saves all losses and gradients.

python -m torch.distributed.run … global_loss.py ROWS,ROWS,… OUTPUT
"""

import json
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslhsic_transfer.hsic import SSLHSICLoss


def main(rows: list[int], output: str, cases: dict[str, dict]) -> None:
    dist.init_process_group("gloo")
    rank, processes = dist.get_rank(), dist.get_world_size()
    assert processes == len(rows), f"{processes} processes for {len(rows)} shares"
    torch.manual_seed(0)
    data = torch.randn(3, sum(rows), 12, dtype=torch.float64)
    start = sum(rows[:rank])
    share = data[:, start : start + rows[rank]]
    results = {}
    for name, options in cases.items():
        torch.manual_seed(1)
        network = nn.Linear(12, 6).double()
        criterion = SSLHSICLoss(num_features=64, **options)
        model = DistributedDataParallel(network)
        embeddings = model(share.flatten(0, 1)).unflatten(0, (3, -1))
        views = [embeddings[0], embeddings[1], embeddings[2].detach()]
        loss, scalars = criterion(views)
        loss.backward()
        results[name] = {
            "loss": loss.detach(),
            "weight": network.weight.grad,
            "bias": network.bias.grad,
            "scale": criterion.kernel_scale.grad,
            "gradient_noise": criterion.gradient_noise([view.detach() for view in views]),
            "processes": processes,
            **scalars,
        }
    everyone = [None] * processes
    dist.all_gather_object(everyone, results)
    if rank == 0:
        torch.save(everyone, output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main([int(part) for part in sys.argv[1].split(",")], sys.argv[2], json.loads(sys.argv[3]))
