import copy

import pytest
import torch
from torch import nn

from sslhsic_transfer import create_encoder
from sslhsic_transfer.pretrain.optimizer import build_optimizer, parameter_groups, restore, set_learning_rate
from sslhsic_transfer.pretrain.recipe import OptimizerSettings


def test_biases_and_normalisation_never_decay():
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


def test_lars_steps_are_the_hand_computed_ones():
    """w ← w − lr·v, v ← m·v + η‖w‖/‖g‖·(g + wd·w) for weights; plain momentum for biases."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    settings = OptimizerSettings(name="lars", weight_decay=0.1, momentum=0.9, trust_coefficient=0.02)
    optimizer = build_optimizer(settings, dict(layer.named_parameters()))
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for lr in (0.5, 0.3):
        gradients = torch.randn_like(weight), torch.randn_like(bias)
        layer.weight.grad, layer.bias.grad = (gradient.clone() for gradient in gradients)
        set_learning_rate(optimizer, lr)
        optimizer.step()
        trust = 0.02 * weight.norm() / (gradients[0].norm() + 0.1 * weight.norm())
        weight_velocity = 0.9 * weight_velocity + trust * (gradients[0] + 0.1 * weight)
        bias_velocity = 0.9 * bias_velocity + gradients[1]
        weight, bias = weight - lr * weight_velocity, bias - lr * bias_velocity
        torch.testing.assert_close(layer.weight.detach(), weight)
        torch.testing.assert_close(layer.bias.detach(), bias)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_other_optimisers_are_torchs(name, kind):
    optimizer = build_optimizer(OptimizerSettings(name=name), dict(nn.Linear(2, 2).named_parameters()))
    assert isinstance(optimizer, kind)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_continues_to_the_last_bit_from_a_state_of_another_memory_layout(name):
    """A checkpoint's tensors are contiguous, the network's weights channels last; a fused step would mix them up."""

    def begin():
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(OptimizerSettings(name=name), dict(layer.named_parameters()))
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
