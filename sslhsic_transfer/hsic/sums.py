"""Sums over a batch's images of functions of their features, block by block and over processes.

A block of images is mapped to features, its sums are added to the total, and the features are discarded; the backward
pass maps each block again. Besides the points, only one block is kept in memory, whatever the batch size, and a block
stays in the processor's cache. The price is one more projection of the points.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sslhsic_transfer.hsic.distributed import Reduce, sum_each, sum_over_processes
from sslhsic_transfer.hsic.features import Features
from sslhsic_transfer.hsic.first_derivative import FirstDerivative

# A block's features should fit the cache of a CPU, and keep a GPU fully busy.
_ROWS_ON_CPU, _ROWS_ELSEWHERE = 1024, 16384


class Summand(ABC):
    """A function of an image's features in two draws that is to be summed over images."""

    @abstractmethod
    def sums(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over some images.

        Args:
            first: (b, M, D) features of M views of b images, in the first draw.
            second: (b, M, E) features of the same views in the second draw.
        """

    def inner(self, first: Tensor, second: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return the inner product ⟨weights, sums⟩, whose gradient the backward pass needs.

        Override this method if the product can be computed at lower cost than the sums.
        """
        return inner_product(weights, self.sums(first, second))


def inner_product(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return Σ ⟨weight, value⟩ over pairs of tensors of the same shape."""
    return torch.stack([(weight * value).sum() for weight, value in zip(weights, values, strict=True)]).sum()


def batch_sums(
    points: Tensor, draws: tuple[Features, Features], summand: Summand, reduce: Reduce = sum_over_processes
) -> tuple[Tensor, ...]:
    """Compute the summand's sums over the images of all processes; only ``points`` gets a gradient.

    Args:
        points: (B, M, d); in a process group, this rank's images.
        draws: two draws of features.
        summand: the function to sum.
        reduce: adds sums up over processes.
    """
    return sum_each(_BlockSums.apply(points, draws, summand), reduce)


def blocks(points: Tensor) -> tuple[Tensor, ...]:
    """Split (B, M, d) points into the blocks of images that are summed one after another."""
    rows = _ROWS_ON_CPU if points.device.type == "cpu" else _ROWS_ELSEWHERE
    return points.split(max(1, rows // points.shape[1]))


class _BlockSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, draws: tuple[Features, Features], summand: Summand) -> tuple[Tensor, ...]:
        ctx.save_for_backward(points)
        ctx.draws, ctx.summand = draws, summand
        total: tuple[Tensor, ...] = ()
        for block in blocks(points):
            parts = summand.sums(*(draw(block) for draw in draws))
            total = tuple(sum_.add_(part) for sum_, part in zip(total, parts, strict=True)) if total else parts
        return total

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        (points,) = ctx.saved_tensors
        gradients: list[Tensor] = []
        # Same precision as in forward, wherever backward is called.
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            for block in blocks(points):
                leaf = block.detach().requires_grad_()
                with torch.enable_grad():
                    product = ctx.summand.inner(*(draw(leaf) for draw in ctx.draws), weights)
                gradients += torch.autograd.grad(product, leaf)
        return FirstDerivative.apply(torch.cat(gradients), points, *weights), None, None
