"""A marker for gradients in closed form, which cannot be differentiated again."""

from typing import Any

import torch
from torch import Tensor


class FirstDerivative(torch.autograd.Function):
    """Identity on a gradient that refuses differentiation with respect to the tensors it was computed from.

    >>> FirstDerivative.apply(gradient, points, *weights)
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *origins: Tensor) -> Tensor:
        """Return the gradient."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Refuse a second derivative."""
        raise RuntimeError("The SSL-HSIC loss has first derivatives only: its gradient cannot be differentiated.")
