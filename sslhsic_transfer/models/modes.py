"""Put networks in eval mode for a while, or copy them for comparison."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

_M = TypeVar("_M", bound=nn.Module)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode for a block, then restore each submodule's own mode (frozen ones stay frozen)."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def plain_copy(module: _M) -> _M:
    """Copy a network in float32 to the CPU, in eval mode and without gradients, as a reference for results.

    In reduced precision, TF32 on a GPU included, a network is no reference for another.
    """
    return copy.deepcopy(module).to("cpu", torch.float32).requires_grad_(False).eval()
