"""LARS as in BYOL's and SSL-HSIC's released code: the trust ratio is of the decayed gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rates (You et al. 2017), then momentum: v ← m·v + r·u and w ← w − lr·v with u = g + wd·w.

    The trust ratio r is η‖w‖ / ‖u‖, or 1 where either norm is 0, for groups that adapt, and 1 for others. Other
    implementations divide by ‖g‖ + wd‖w‖, which is more, and much more where gradients are as small as wd·w: in blocks
    that begin as the identity (``zero_init_residual``), a fifth in the median layer of the first steps.

    Args:
        groups: parameter groups; each tells its ``weight_decay`` and whether it adapts, ``always_adapt``.
        momentum: m.
        trust_coefficient: η.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float,
        trust_coefficient: float,
    ) -> None:
        # Names as in timm's LARS, of which runs may have checkpoints.
        defaults = {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum, "trust_coeff": trust_coefficient}
        super().__init__(groups, defaults | {"always_adapt": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Make one step by the gradients at hand; no device is waited for.

        Raises:
            ValueError: a ``closure``, which is not called.
        """
        if closure is not None:
            raise ValueError("LARS takes no closure: compute the gradients, then call step().")
        for group in self.param_groups:
            parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            updates = torch._foreach_add(
                [parameter.grad for parameter in parameters], parameters, alpha=group["weight_decay"]
            )
            if group["always_adapt"]:
                torch._foreach_mul_(updates, _trust_ratios(parameters, updates, group["trust_coeff"]))
            torch._foreach_add_(
                parameters, self._accelerated(parameters, updates, group["momentum"]), alpha=-group["lr"]
            )

    def _accelerated(self, parameters: list[Tensor], updates: list[Tensor], momentum: float) -> list[Tensor]:
        """Add updates to the momentum of their parameters."""
        known = [index for index, parameter in enumerate(parameters) if "momentum_buffer" in self.state[parameter]]
        if known:
            velocities = [self.state[parameters[index]]["momentum_buffer"] for index in known]
            torch._foreach_mul_(velocities, momentum)
            torch._foreach_add_(velocities, [updates[index] for index in known])
        for parameter, update in zip(parameters, updates, strict=True):
            self.state[parameter].setdefault("momentum_buffer", update)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]


def _trust_ratios(parameters: list[Tensor], updates: list[Tensor], coefficient: float) -> tuple[Tensor, ...]:
    """Give η‖w‖ / ‖u‖ for each parameter, 1 where a norm is 0."""
    lengths, sizes = (torch.stack(torch._foreach_norm(tensors)) for tensors in (parameters, updates))
    ratios = coefficient * lengths / torch.where(sizes > 0, sizes, 1)
    return torch.where((lengths > 0) & (sizes > 0), ratios, 1.0).unbind()
