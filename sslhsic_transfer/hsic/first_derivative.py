"""Gradients that were worked out by hand, and so cannot be differentiated once more."""

from typing import Any

import torch
from torch import Tensor


class FirstDerivative(torch.autograd.Function):
    """The identity on a gradient, whose own derivative for the tensors that it came from is refused.

    >>> FirstDerivative.apply(gradient, points, *weights)
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *origins: Tensor) -> Tensor:
        """Return the gradient."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Refuse."""
        raise RuntimeError("The SSL-HSIC loss has first derivatives only: its gradient cannot be differentiated.")
