"""Micro-batches. That they are exact for every objective, over processes, too, is in tests/contracts."""

import pytest
import torch
from torch import nn

from sslhsic_transfer.hsic import SSLHSICLoss
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.rivals import BYOL


class Networks(nn.Module):
    """Two trained views and two detached ones, as with a target network; counts what it embeds."""

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        middle = nn.BatchNorm1d(24) if batch_norm else nn.Identity()
        self.online = nn.Sequential(nn.Linear(12, 24), middle, nn.GELU(), nn.Linear(24, 8)).double()
        self.target = nn.Linear(12, 8).double().requires_grad_(False)
        self.with_graph, self.without_graph = [], []

    def forward(self, view1, view2):
        (self.with_graph if torch.is_grad_enabled() else self.without_graph).append(len(view1))
        with torch.no_grad():
            targets = [self.target(view2), self.target(view1)]
        return [self.online(view1), self.online(view2), *targets]


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return Networks()


def split(rows, size):
    views = torch.randn(2, rows, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return list(zip(*(view.split(size) for view in views), strict=True))


@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
def test_graphs_of_64_rows_give_the_loss_and_gradient_of_4096(networks, regularizer):
    found = []
    for size in (4096, 64):
        networks.zero_grad()
        networks.with_graph.clear()
        criterion = SSLHSICLoss(num_features=64, regularizer=regularizer)
        loss, scalars = two_pass_backward(networks, criterion, split(4096, size), networks=networks)
        assert set(networks.with_graph) == {size}
        gradients = [parameter.grad for parameter in (*networks.online.parameters(), *criterion.parameters())]
        found.append([loss, *scalars.values(), *gradients])
    for parts, whole in zip(*reversed(found), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-9)


def test_one_micro_batch_is_a_plain_backward_pass(networks):
    ((view1, view2),) = micro_batches = split(32, 32)
    BYOL()(networks(view1, view2))[0].backward()
    expected = [parameter.grad.clone() for parameter in networks.online.parameters()]
    networks.zero_grad()
    two_pass_backward(networks, BYOL(), micro_batches, networks=networks)
    assert all(
        torch.equal(p.grad, gradient) for p, gradient in zip(networks.online.parameters(), expected, strict=True)
    )


def test_the_first_micro_batch_is_embedded_once_and_the_others_twice(networks):
    two_pass_backward(networks, BYOL(), split(44, 12), networks=networks)
    assert networks.with_graph == [12, 12, 12, 8]
    assert networks.without_graph == [12, 12, 8]


def test_the_loss_makes_gradients_of_trained_views_alone(networks):
    made = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, view, number):
            ctx.number = number
            return view.clone()

        @staticmethod
        def backward(ctx, gradient):
            made.append(ctx.number)
            return gradient, None

    def criterion(views):
        assert [len(view) for view in views] == [32] * 4
        return BYOL()([Watched.apply(view, number) for number, view in enumerate(views)])

    two_pass_backward(networks, criterion, split(32, 8), networks=networks)
    assert sorted(made) == [0, 1]


def test_processes_exchange_gradients_with_the_last_micro_batch_alone(networks):
    """As DistributedDataParallel needs it: forward and backward pass of each of the others within the context."""
    inside, log = [False], []

    class Quiet:
        def __enter__(self):
            inside[0] = True

        def __exit__(self, *error):
            inside[0] = False

    def embed(view1, view2):
        embeddings = networks(view1, view2)
        if torch.is_grad_enabled():
            log.append(("forward", inside[0]))
            embeddings[0].register_hook(lambda gradient: log.append(("backward", inside[0])))
        return embeddings

    two_pass_backward(embed, BYOL(), split(24, 8), networks=networks, unsynchronized=Quiet)
    assert log == [(direction, quiet) for quiet in (True, True, False) for direction in ("forward", "backward")]


def test_running_statistics_see_each_micro_batch_once():
    torch.manual_seed(0)
    networks = Networks(batch_norm=True)
    two_pass_backward(networks, SSLHSICLoss(num_features=32), split(64, 16), networks=networks)
    assert networks.online[1].num_batches_tracked == 2 * 4
    assert networks.online[1].track_running_stats
