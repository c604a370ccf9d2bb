"""Optimisers of a recipe."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sslhsic_transfer.pretrain.recipe import OptimizerSettings
from sslhsic_transfer.training.lars import LARS


def parameter_groups(parameters: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights of convolutions and linear layers; biases and normalisation, which never decay."""
    decayed = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    plain = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def build_optimizer(settings: OptimizerSettings, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Make the optimiser of the networks, its learning rate to be set before each step.

    LARS adapts weights even if their decay is set to 0; biases and normalisation it leaves as they are.
    """
    groups = parameter_groups(parameters, settings.weight_decay)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, fused=True)
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, fused=True)
    groups[0]["always_adapt"] = True
    return LARS(groups, momentum=settings.momentum, trust_coefficient=settings.trust_coefficient)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state, with each tensor in the memory layout of its parameter.

    Fused optimisers go through a parameter and its averages in the order of memory, whatever the layouts.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if name != "step" and isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group of an optimiser the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value
