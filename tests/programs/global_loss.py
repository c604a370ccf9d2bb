"""Started by torchrun: each process takes its own rows; process 0 saves all losses and gradients."""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslhsic_transfer.hsic import SSLHSICLoss


def main(rows: list[int], regularizer: str, output: str) -> None:
    dist.init_process_group("gloo")
    rank, processes = dist.get_rank(), dist.get_world_size()
    assert processes == len(rows), f"{processes} processes for {len(rows)} shares"
    torch.manual_seed(0)
    data = torch.randn(2, sum(rows), 12, dtype=torch.float64)
    network = nn.Linear(12, 6).double()
    start = sum(rows[:rank])
    share = data[:, start : start + rows[rank]]
    criterion = SSLHSICLoss(num_features=64, regularizer=regularizer)
    model = DistributedDataParallel(network)
    embeddings = model(share.flatten(0, 1)).unflatten(0, (2, -1))
    loss, scalars = criterion(list(embeddings))
    loss.backward()
    result = {
        "loss": loss.detach(),
        "weight": network.weight.grad,
        "bias": network.bias.grad,
        "scale": criterion.kernel_scale.grad,
        "processes": processes,
        **scalars,
    }
    everyone = [None] * processes
    dist.all_gather_object(everyone, result)
    if rank == 0:
        torch.save(everyone, output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main([int(part) for part in sys.argv[1].split(",")], sys.argv[2], sys.argv[3])
