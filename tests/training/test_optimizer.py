import copy

import numpy as np
import pytest
import timm.optim
import torch
from torch import nn

from sslhsic_transfer import create_encoder
from sslhsic_transfer.training.optimizer import build_optimizer, parameter_groups, restore, set_learning_rate


def test_biases_and_normalization_never_decay():
    network = nn.ModuleDict({"encoder": create_encoder("resnet18"), "head": nn.Linear(4, 4)})
    parameters = dict(network.named_parameters())
    decayed, plain = parameter_groups(parameters, 0.1)
    names = {id(parameter): name for name, parameter in parameters.items()}
    for parameter in plain["params"]:
        assert (
            names[id(parameter)].endswith("bias")
            or "bn" in names[id(parameter)]
            or "downsample.1" in names[id(parameter)]
        )
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(plain["params"]) == len(parameters)
    assert {names[id(parameter)] for parameter in decayed["params"]} >= {"encoder.conv1.weight", "head.weight"}


def test_two_lars_steps_are_the_hand_computed_ones():
    """By the released code's rule: v ← m·v + η‖w‖/‖g + wd·w‖·(g + wd·w), w ← w − lr·v; v ← m·v + g for the rest."""
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    linear, norm = network[0], network[1]
    optimizer = build_optimizer(
        "lars", dict(network.named_parameters()), weight_decay=0.1, momentum=0.9, trust_coefficient=0.02
    )

    def step(lr, weight, other):
        linear.weight.grad = torch.tensor([weight])
        for parameter in (linear.bias, norm.weight, norm.bias):
            parameter.grad = torch.tensor([other])
        set_learning_rate(optimizer, lr)
        optimizer.step()
        return linear.weight.detach().numpy()[0], [p.item() for p in (linear.bias, norm.weight, norm.bias)]

    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, 4.0]]))
        for parameter in (linear.bias, norm.weight, norm.bias):
            parameter.fill_(1.0)

    # ‖w‖ = 5, u = [0, 0.3] + 0.1·[3, 4] = [0.3, 0.7] of length √0.58: v = 0.02·5/√0.58·[0.3, 0.7].
    weight, others = step(0.5, [0.0, 0.3], 2.0)
    first = 0.1 / np.sqrt(0.58) * np.array([0.3, 0.7])
    np.testing.assert_allclose(weight, np.array([3, 4]) - 0.5 * first, rtol=1e-6)
    np.testing.assert_allclose(others, 1 - 0.5 * 2.0, atol=1e-6)

    # others: v = 0.9·2 + 4 = 5.8.
    before = np.array([3, 4]) - 0.5 * first
    update = np.array([6.0, 8.0]) + 0.1 * before
    velocity = 0.9 * first + 0.02 * np.linalg.norm(before) / np.linalg.norm(update) * update
    weight, others = step(0.25, [6.0, 8.0], 4.0)
    np.testing.assert_allclose(weight, before - 0.25 * velocity, rtol=1e-6)
    np.testing.assert_allclose(others, 0 - 0.25 * 5.8, rtol=1e-6)


def test_lars_is_the_released_codes_where_gradients_are_as_small_as_the_decay():
    """Against a twin in float64 over steps of gradients from 1e-8 to 1; timm's ratio is up to 29 % smaller there."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    layer = nn.Linear(40, 30, bias=False)
    optimizer = build_optimizer("lars", {"weight": layer.weight}, weight_decay=1e-6)
    weight = layer.weight.detach().double().numpy()
    velocity, ratios = np.zeros_like(weight), []
    set_learning_rate(optimizer, 6.4)
    for size in (0.0, 1e-8, *np.logspace(-7, 0, 15)):
        gradient = size * rng.standard_normal(weight.shape) / np.sqrt(weight.size)
        layer.weight.grad = torch.from_numpy(gradient).float()
        update = gradient + 1e-6 * weight
        length = np.linalg.norm(update)
        ratios.append((np.linalg.norm(gradient) + 1e-6 * np.linalg.norm(weight)) / length)
        velocity = 0.9 * velocity + 1e-3 * np.linalg.norm(weight) / length * update
        weight = weight - 6.4 * velocity
        optimizer.step()
        np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
    assert max(ratios) == pytest.approx(1.4, abs=0.05), "by which timm divides more; √2 where both are alike"


def test_lars_takes_up_a_state_that_timm_wrote():
    parameter = nn.Parameter(torch.ones(2, 2))
    groups = [{"params": [parameter], "weight_decay": 1e-6, "always_adapt": True}]
    theirs = timm.optim.Lars(groups, lr=0.1, momentum=0.9)
    parameter.grad = torch.ones(2, 2)
    theirs.step()
    ours = build_optimizer("lars", {"weight": parameter}, weight_decay=1e-6)
    state = theirs.state_dict()
    ours.load_state_dict(state | {"param_groups": [state["param_groups"][0], ours.state_dict()["param_groups"][1]]})
    before = ours.state[parameter]["momentum_buffer"].clone()
    ours.step()
    torch.testing.assert_close(ours.state[parameter]["momentum_buffer"], 0.9 * before + 1e-3, rtol=1e-3, atol=0)


def test_lars_scales_weights_without_weight_decay_too():
    """η‖w‖/‖g‖ = 0.02·5/2 = 0.05 of the gradient, whatever the decay; a bias moves by its whole gradient."""
    linear = nn.Linear(2, 1)
    optimizer = build_optimizer("lars", dict(linear.named_parameters()), weight_decay=0.0, trust_coefficient=0.02)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, 4.0]]))
        linear.bias.fill_(1.0)
    linear.weight.grad, linear.bias.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([2.0])
    set_learning_rate(optimizer, 1.0)
    optimizer.step()
    torch.testing.assert_close(linear.weight.detach(), torch.tensor([[3.0, 3.9]]))
    assert linear.bias.item() == pytest.approx(-1.0)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_other_optimizers_are_torchs(name, kind):
    optimizer = build_optimizer(name, dict(nn.Linear(2, 2).named_parameters()), weight_decay=1e-6)
    assert isinstance(optimizer, kind)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_continues_to_the_last_bit_from_a_state_of_another_memory_layout(name):
    """A checkpoint's tensors are contiguous, the network's weights channels last; a fused step would mix them up."""

    def begin():
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(name, dict(layer.named_parameters()), weight_decay=1e-6)
        set_learning_rate(optimizer, 0.1)
        return layer, optimizer

    def step(layer, optimizer, number):
        layer(torch.full((1, 3, 5, 5), float(number))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    whole, optimizer = begin()
    for number in range(1, 4):
        step(whole, optimizer, number)
        if number == 2:
            saved = copy.deepcopy(optimizer.state_dict())
            weights = {name: value.clone() for name, value in whole.state_dict().items()}
    for values in saved["state"].values():
        for key, value in values.items():
            values[key] = value.contiguous() if isinstance(value, torch.Tensor) else value

    resumed, optimizer = begin()
    resumed.load_state_dict(weights)
    restore(optimizer, saved)
    step(resumed, optimizer, 3)
    assert torch.equal(resumed.weight, whole.weight)
