"""The zero-debiased exponential average of the online weights, which is evaluated and exported."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sslhsic_transfer.pretrain.schedules import average_weight


class WeightAverage:
    """Average Σ d^(t−i)·wᵢ / Σ d^(t−i) of the initial weights w₀ and the weights wᵢ after each step.

    As in the released code, w₀ is included; after t steps its weight is d^t·(1 − d) / (1 − d^(t+1)).

    Args:
        module: the module whose parameters are averaged, from now on; its buffers (BatchNorm statistics) are not.
        decay: the decay d.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.restart(module)

    def restart(self, module: nn.Module) -> None:
        """Restart the average at a module's present weights."""
        self.count = 1
        self.values = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Add the module's present weights to the average."""
        self.count += 1
        newest = dict(module.named_parameters())
        weight = average_weight(self.count, decay=self.decay)
        torch._foreach_lerp_(list(self.values.values()), [newest[name] for name in self.values], weight)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite a module's parameters with the average."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.values[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` needs to continue."""
        return {"count": self.count, "values": self.values}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved average."""
        self.count = state["count"]
        values: Mapping[str, Tensor] = state["values"]
        for name, value in self.values.items():
            value.copy_(values[name])
