"""Training that has left the numbers, and what is said of it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def divergence(loss: float | None, weights: Iterable[Tensor], step: int, causes: str) -> str | None:
    """What to tell of a run whose loss or weights are no longer finite; None: they are.

    Args:
        loss: of the step; None where only the weights are to be judged.
        weights: at least one, all on one device, which is waited for once.
        step: steps made.
        causes: what to look at.
    """
    if loss is not None and not math.isfinite(loss):
        what = f"The loss is {loss}"
    elif not torch.stack(list(torch._foreach_norm(list(weights)))).isfinite().all():
        what = "Weights are no longer finite"
    else:
        return None
    return f"{what} at step {step}. Usual causes: {causes}."
