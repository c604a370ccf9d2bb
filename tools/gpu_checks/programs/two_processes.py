"""NOTE RANK STORE PROCESSES DEVICE OUTPUT: one process of a group that shares batches and a device."""

import sys
from itertools import product

import torch
import torch.distributed as dist
from peak import note_peak
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sslhsic_transfer.hsic import SSLHSICLoss
from sslhsic_transfer.hsic.loss import Estimator
from sslhsic_transfer.hsic.terms import Regularizer

ROWS = 512
REGULARIZERS: tuple[Regularizer, ...] = ("biased", "debiased")
ESTIMATORS: tuple[Estimator, ...] = ("exact", "features")


def measured(
    rank: int, processes: int, device: str, regularizer: Regularizer, estimator: Estimator
) -> dict[str, Tensor]:
    """Return the loss of the whole batch and its gradients, from this process's share of it."""
    torch.manual_seed(0)
    data = torch.randn(2, ROWS, 12, dtype=torch.float64)
    network = nn.Linear(12, 6).double().to(device)
    criterion = SSLHSICLoss(num_features=64, regularizer=regularizer, estimator=estimator).to(device)
    model = DistributedDataParallel(network)
    embeddings = model(data[:, rank::processes].to(device).flatten(0, 1)).unflatten(0, (2, -1))
    loss, scalars = criterion(list(embeddings))
    loss.backward()
    found = {"loss": loss, **{name: scalars[name] for name in ("hsic_zy", "hsic_zz")}}
    gradients = {f"gradient of {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {f"{estimator}, {regularizer}: {name}": value.detach().cpu() for name, value in (found | gradients).items()}


def main() -> None:
    note, rank, store, processes, device, output = sys.argv[1:]
    note_peak(note)
    dist.init_process_group("gloo", f"file://{store}", rank=int(rank), world_size=int(processes))
    found: dict[str, object] = {"processes": dist.get_world_size()}
    for estimator, regularizer in product(ESTIMATORS, REGULARIZERS):
        found |= measured(int(rank), int(processes), device, regularizer, estimator)
    if rank == "0":
        torch.save(found, output)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
