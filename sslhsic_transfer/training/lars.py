"""LARS as in BYOL's and SSL-HSIC's released code, with the trust ratio of the gradient after weight decay."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rates (You et al. 2017), then momentum: v ← m·v + r·u and w ← w − lr·v with u = g + wd·w.

    For groups that adapt, the trust ratio r is η‖w‖ / ‖u‖, or 1 if either norm is 0; for other groups it is 1. Other
    implementations divide by ‖g‖ + wd‖w‖, which is larger, and much larger where gradients are as small as wd·w. In
    blocks that begin as the identity (``zero_init_residual``), the difference is a fifth in the median layer of the
    first steps.

    Args:
        groups: parameter groups, each with its ``weight_decay`` and ``always_adapt``, whether it adapts.
        momentum: the momentum m.
        trust_coefficient: the trust coefficient η.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float,
        trust_coefficient: float,
    ) -> None:
        # Names as in timm's LARS, which is in checkpoints of older runs.
        defaults = {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum, "trust_coeff": trust_coefficient}
        super().__init__(groups, defaults | {"always_adapt": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Make one step with the present gradients, without waiting for the device.

        Raises:
            ValueError: a ``closure`` is given; it is not called.
        """
        if closure is not None:
            raise ValueError("LARS takes no closure: compute the gradients, then call step().")
        for group in self.param_groups:
            pairs = [(weight, weight.grad) for weight in group["params"] if weight.grad is not None]
            if not pairs:
                continue
            weights, gradients = (list(tensors) for tensors in zip(*pairs, strict=True))
            updates = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
            if group["always_adapt"]:
                ratios = _trust_ratios(weights, updates, group["trust_coeff"])
                torch._foreach_mul_(updates, ratios)
            velocities = self._accelerated(weights, updates, group["momentum"])
            torch._foreach_add_(weights, velocities, alpha=-group["lr"])

    def _accelerated(self, weights: list[Tensor], updates: list[Tensor], momentum: float) -> list[Tensor]:
        """Add updates to the momentum of their weights."""
        known = [number for number, weight in enumerate(weights) if "momentum_buffer" in self.state[weight]]
        if known:
            velocities = [self.state[weights[number]]["momentum_buffer"] for number in known]
            torch._foreach_mul_(velocities, momentum)
            torch._foreach_add_(velocities, [updates[number] for number in known])
        for weight, update in zip(weights, updates, strict=True):
            self.state[weight].setdefault("momentum_buffer", update)
        return [self.state[weight]["momentum_buffer"] for weight in weights]


def _trust_ratios(weights: list[Tensor], updates: list[Tensor], coefficient: float) -> list[Tensor]:
    """Compute η‖w‖ / ‖u‖ of each weight, or 1 where a norm is 0."""
    lengths, sizes = (torch.stack(list(torch._foreach_norm(tensors))) for tensors in (weights, updates))
    ratios = coefficient * lengths / torch.where(sizes > 0, sizes, 1)
    return list(torch.where((lengths > 0) & (sizes > 0), ratios, 1.0).unbind())
