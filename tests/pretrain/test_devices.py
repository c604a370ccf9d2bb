"""Pretraining on fake CUDA tensors.

Not tested without a GPU: backward passes, the exchange of SyncBatchNorm's statistics between processes, and any figure.
"""

import copy
from random import Random

import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from sslhsic_transfer import SSLHSICLoss, create_encoder
from sslhsic_transfer.pretrain.averaging import WeightAverage
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.sections import AugmentationSettings, ViewSettings
from sslhsic_transfer.pretrain.views import ColorOperations, View
from sslhsic_transfer.pretrain.views.draws import draw_colors
from sslhsic_transfer.training.optimizer import build_optimizer, set_learning_rate
from tests.fake_cuda import CUDA, fake_cuda


def learner(*, synchronized: bool = False) -> Learner:
    """Build a learner on the CPU, to be moved as a run does."""
    network = Learner(create_encoder("resnet18"), hidden_dim=16, embedding_dim=8, uses_target=True).train()
    return nn.SyncBatchNorm.convert_sync_batchnorm(network) if synchronized else network


def batch(settings: AugmentationSettings, count: int) -> View:
    random = Random(0)
    size = settings.size
    views = [View(torch.zeros(3, size, size, dtype=torch.uint8), draw_colors(random, settings, settings.view2))]
    views += [View(views[0].pixels, draw_colors(random, settings, settings.view2)) for _ in range(count - 1)]
    return default_collate(views)


@pytest.mark.parametrize("synchronized", [False, True])
def test_the_learner_moves_to_the_device_and_trains_forward_there(synchronized):
    """This covers a SyncBatchNorm in a process by itself only, where there is nothing to exchange."""
    network = learner(synchronized=synchronized)
    with fake_cuda():
        network.to(CUDA)
        views = network(*torch.empty(2, 4, 3, 64, 64, device=CUDA))
        network.update_target(0.99)
    assert [(view.shape, view.device) for view in views] == [((4, 8), CUDA)] * 4
    assert {tensor.device for tensor in network.state_dict().values()} == {CUDA}


@pytest.mark.parametrize("name", ["lars", "adamw"])
def test_optimizers_and_averages_step_on_the_device(name):
    """Not SGD: its fused kernel has no fake twin."""
    network = learner()
    with fake_cuda():
        network.to(CUDA)
        optimizer = build_optimizer(name, network.trained_parameters(), weight_decay=1e-6)
        average = WeightAverage(network.online.encoder, 0.9)
        for parameter in network.trained_parameters().values():
            parameter.grad = torch.empty_like(parameter)
        set_learning_rate(optimizer, 0.1)
        optimizer.step()
        average.update(network.online.encoder)
        average.copy_to(network.online.encoder)
    state = [value for values in optimizer.state.values() for value in values.values() if value.ndim]
    assert state
    assert {value.device for value in [*state, *average.values.values()]} == {CUDA}


def test_the_loss_takes_features_drawn_on_the_cpu_to_the_device():
    """Without the scale's gradient: fake tensors have no backward pass, and no generator on the device."""
    criterion = SSLHSICLoss(num_features=16, learn_scale=False, generator=torch.Generator())
    with fake_cuda():
        loss, scalars = criterion.to(CUDA)([torch.empty(6, 8, device=CUDA) for _ in range(4)])
    assert {value.device for value in (loss, *scalars.values())} == {CUDA}


def test_synchronizing_changes_every_batchnorm_and_no_name():
    network = learner()
    names = list(network.state_dict())
    plain = [name for name, layer in network.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    layers = dict(synchronized.named_modules())
    assert {type(layers[name]) for name in plain} == {nn.SyncBatchNorm}
    for head in ("online.projector", "predictor", "target.projector"):
        assert f"{head}.1" in plain, "the heads' BatchNorm1d, too"
    assert list(synchronized.state_dict()) == names
    assert list(synchronized.trained_parameters()) == list(network.trained_parameters())
    assert not any(parameter.requires_grad for parameter in synchronized.target.parameters())
    for name in plain:
        assert (layers[name].eps, layers[name].momentum) == (1e-5, 0.1)


@pytest.mark.parametrize("style", ["torchvision", "byol-jax"])
@pytest.mark.parametrize("always", [True, False])
def test_colors_work_on_the_device_with_random_numbers_from_the_cpu(style, always):
    """For batches in which every picture is changed by every operation, and in which only some are."""
    share = 1.0 if always else 0.5
    settings = AugmentationSettings(
        style=style, size=32, blur_taps=3, jitter=share, gray=share, view2=ViewSettings(blur=share, solarize=share)
    )
    view = batch(settings, 16)
    with fake_cuda():
        x = ColorOperations(settings)(view, CUDA)
    assert (x.shape, x.dtype, x.device) == ((16, 3, 32, 32), torch.float32, CUDA)


def test_mixed_devices_would_be_seen():
    with fake_cuda():
        x = torch.ones(3).to(CUDA)
        with pytest.raises(RuntimeError, match="at least two devices"):
            x + torch.ones(3)
