"""The optimizers of training runs, their parameter groups and their state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sslhsic_transfer.training.lars import LARS


def parameter_groups(parameters: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Make two groups: weights of convolutions and linear layers, and biases and normalization without weight decay."""
    decayed = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    plain = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def build_optimizer(
    name: str,
    parameters: Mapping[str, nn.Parameter],
    *,
    weight_decay: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    trust_coefficient: float = 1e-3,
) -> torch.optim.Optimizer:
    """Make an optimizer, whose learning rate must be set before each step.

    Args:
        name: ``"lars"``, ``"adamw"`` or ``"sgd"``.
        parameters: the parameters to train, by name.
        weight_decay: weight decay of weights; biases and normalization have none.
        momentum: momentum of LARS and SGD.
        nesterov: whether SGD uses Nesterov momentum.
        trust_coefficient: LARS's η. LARS adapts weights even if their decay is 0, but not biases and normalization.
    """
    groups = parameter_groups(parameters, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov, fused=True)
    groups[0]["always_adapt"] = True
    return LARS(groups, momentum=momentum, trust_coefficient=trust_coefficient)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state, with each tensor in the memory layout of its parameter.

    Fused optimizers traverse a parameter and its averages in memory order, without regard to their layouts.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if name != "step" and isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the same learning rate in every group of an optimizer."""
    for group in optimizer.param_groups:
        group["lr"] = value
