"""Detection of losses and weights that are not finite."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def divergence(loss: float | None, weights: Iterable[Tensor], step: int, causes: str) -> str | None:
    """Return a message if a run's loss or weights are no longer finite, else None.

    Args:
        loss: loss of the step; None to check only the weights.
        weights: at least one tensor, all on one device; the call waits for the device once.
        step: number of steps made.
        causes: usual causes, for the message.
    """
    if loss is not None and not math.isfinite(loss):
        what = f"The loss is {loss}"
    elif not torch.stack(list(torch._foreach_norm(list(weights)))).isfinite().all():
        what = "Weights are no longer finite"
    else:
        return None
    return f"{what} at step {step}. Usual causes: {causes}."
