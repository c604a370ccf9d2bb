"""Training that has left the numbers, and what is said of it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every element is a number; one wait for the device, whatever their count."""
    return bool(torch.stack(list(torch._foreach_norm(list(tensors)))).isfinite().all())


def diverged(loss: float | None, step: int, causes: str) -> str:
    """A message: which of loss, if it is known, and weights is no longer finite, and what to look at."""
    what = "Weights are no longer finite" if loss is None or math.isfinite(loss) else f"The loss is {loss}"
    return f"{what} at step {step}. Usual causes: {causes}."
