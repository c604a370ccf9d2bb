import pytest
import torch
from torch import nn

from sslhsic_transfer import SSLHSICLoss, create_encoder
from sslhsic_transfer.pretrain.networks import MLP, Learner


def learner(uses_target=True) -> Learner:
    torch.manual_seed(0)
    return Learner(create_encoder("resnet18"), hidden_dim=16, embedding_dim=8, uses_target=uses_target)


def test_embeddings_are_both_predictions_then_the_targets_crosswise():
    network = learner()
    first, second = torch.randn(2, 4, 3, 32, 32)
    views = network(first, second)
    assert [view.shape for view in views] == [(4, 8)] * 4
    assert [view.requires_grad for view in views] == [True, True, False, False]
    # BatchNorm sees a view by itself, so each can be recomputed alone, in train mode.
    torch.testing.assert_close(views[0], network.predictor(network.online(first)))
    torch.testing.assert_close(views[1], network.predictor(network.online(second)))
    torch.testing.assert_close(views[2], network.target(second))
    torch.testing.assert_close(views[3], network.target(first))


def test_without_target_both_projections_carry_gradient():
    network = learner(uses_target=False)
    views = network(*torch.randn(2, 4, 3, 32, 32))
    assert [view.requires_grad for view in views] == [True, True]
    assert network.target is None
    assert network.predictor is None
    network.update_target(0.5)


def test_target_starts_equal_follows_slowly_and_keeps_its_own_statistics():
    network = learner()
    for online, target in zip(network.online.parameters(), network.target.parameters(), strict=True):
        assert torch.equal(online, target)
        assert not target.requires_grad
    with torch.no_grad():
        network.online.encoder.conv1.weight += 1
        network.online.encoder.bn1.running_mean += 1
    before = network.target.encoder.conv1.weight.clone()
    network.update_target(0.9)
    torch.testing.assert_close(network.target.encoder.conv1.weight, before + 0.1)
    assert (network.target.encoder.bn1.running_mean == 0).all()


def test_every_parameter_of_the_target_moves_and_no_buffer():
    """τ = ¾ from 1 towards 3, then towards 5: 1.5, then 2.375."""
    network = learner()
    for parameter in network.target.parameters():
        nn.init.constant_(parameter, 1.0)
    for value, expected in ((3.0, 1.5), (5.0, 2.375)):
        for parameter in network.online.parameters():
            nn.init.constant_(parameter, value)
        for buffer in network.online.buffers():
            buffer.fill_(7)
        before = {name: buffer.clone() for name, buffer in network.target.named_buffers()}
        network.update_target(0.75)
        assert all((parameter == expected).all() for parameter in network.target.parameters())
        assert all(torch.equal(buffer, before[name]) for name, buffer in network.target.named_buffers())


def test_the_targets_statistics_are_of_its_own_forward_passes():
    """Two a step, of the crossed views, normalized by the batch; running mean r ← 0.9·r + 0.1·m after each."""
    network = learner()
    with torch.no_grad():
        network.online.encoder.conv1.weight.mul_(2)  # so that online statistics are others
    first, second = torch.randn(2, 4, 3, 32, 32)
    network(first, second)
    with torch.no_grad():
        means = [network.target.encoder.conv1(view).mean(dim=(0, 2, 3)) for view in (second, first)]
    target, online = network.target.encoder.bn1, network.online.encoder.bn1
    torch.testing.assert_close(target.running_mean, 0.9 * 0.1 * means[0] + 0.1 * means[1])
    torch.testing.assert_close(online.running_mean, 0.9 * 0.1 * 2 * means[1] + 0.1 * 2 * means[0])
    assert target.num_batches_tracked == online.num_batches_tracked == 2


@pytest.mark.parametrize("uses_target", [True, False])
def test_gradients_reach_what_is_trained_and_nothing_else(uses_target):
    network = learner(uses_target)
    loss, _ = SSLHSICLoss(num_features=32)(network(*torch.randn(2, 8, 3, 32, 32)))
    loss.backward()
    trained = network.trained_parameters()
    for name, parameter in network.named_parameters():
        has_gradient = parameter.grad is not None
        assert has_gradient == (name in trained), name
    assert not any(name.startswith("target") for name in trained)


def test_heads_are_the_papers():
    head = MLP(512, 4096, 256)
    assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert head[0].bias is not None
    assert head[3].bias is None
    assert (head[1].eps, head[1].momentum) == (1e-5, 0.1)
