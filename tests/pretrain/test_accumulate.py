import pytest
import torch
from torch import nn

from sslhsic_transfer.hsic import SSLHSICLoss
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.rivals import BYOL, BarlowTwins, NTXent, VICReg

CRITERIA = {
    "ssl-hsic": lambda: SSLHSICLoss(num_features=64),
    "ssl-hsic, debiased": lambda: SSLHSICLoss(num_features=64, regularizer="debiased"),
    "simclr": NTXent,
    "vicreg": VICReg,
    "barlow-twins": BarlowTwins,
    "byol": BYOL,
}


class Networks(nn.Module):
    """Two trained views and two detached ones, as with a target network; without BatchNorm."""

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        middle = nn.BatchNorm1d(24) if batch_norm else nn.Identity()
        self.online = nn.Sequential(nn.Linear(12, 24), middle, nn.GELU(), nn.Linear(24, 8)).double()
        self.target = nn.Linear(12, 8).double().requires_grad_(False)
        self.largest = 0

    def forward(self, view1, view2):
        if torch.is_grad_enabled():
            self.largest = max(self.largest, len(view1))
        with torch.no_grad():
            targets = [self.target(view2), self.target(view1)]
        return [self.online(view1), self.online(view2), *targets]


def gradients(name, size, rows=4096):
    torch.manual_seed(0)
    networks, criterion = Networks(), CRITERIA[name]()
    pairs = name in ("simclr", "vicreg", "barlow-twins")
    views = torch.randn(2, rows, 12, dtype=torch.float64)
    micro_batches = list(zip(*(view.split(size) for view in views), strict=True))

    def embed(view1, view2):
        return networks(view1, view2)[: 2 if pairs else 4]

    if size == rows:
        loss, scalars = criterion(embed(*micro_batches[0]))
        loss.backward()
    else:
        loss, scalars = two_pass_backward(embed, criterion, micro_batches, networks=networks)
        assert networks.largest == size, "the graph is that of a micro-batch"
    parameters = [*networks.online.parameters(), *criterion.parameters()]
    return loss.detach(), scalars, [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_micro_batches_of_64_give_the_loss_and_gradient_of_4096(name):
    rows = 512 if name == "simclr" else 4096
    whole, parts = gradients(name, rows, rows), gradients(name, 64, rows)
    torch.testing.assert_close(parts[0], whole[0], rtol=1e-5, atol=1e-9)
    assert parts[1].keys() == whole[1].keys()
    for found, expected in zip(parts[2], whole[2], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_uneven_last_micro_batch_is_exact_too():
    whole, parts = gradients("ssl-hsic", 100, 100), gradients("ssl-hsic", 32, 100)
    for found, expected in zip(parts[2], whole[2], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_running_statistics_see_each_micro_batch_once():
    torch.manual_seed(0)
    networks, views = Networks(batch_norm=True), torch.randn(2, 64, 12, dtype=torch.float64)
    micro_batches = list(zip(*(view.split(16) for view in views), strict=True))
    two_pass_backward(networks, SSLHSICLoss(num_features=32), micro_batches, networks=networks)
    assert networks.online[1].num_batches_tracked == 2 * 4
    assert networks.online[1].track_running_stats
