"""Run code for a GPU on fake CUDA tensors: shapes and devices are real, numbers are not.

A tensor that stays on the CPU by mistake meets a CUDA one here and raises. Backward passes do not run.
"""

from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

CUDA = torch.device("cuda:0")


class OnlyCUDAIsFake(TorchDispatchMode):
    """Within a FakeTensorMode: what touches CUDA is fake; CPU tensors have values, which code may look at."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.fake = fake

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_flatten((args, kwargs))[0]
        cuda = any(isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves)
        if cuda or any(isinstance(leaf, FakeTensor) for leaf in leaves):
            args, kwargs = tree_map_only(torch.Tensor, self._as_fake, (args, kwargs))
            return func(*args, **kwargs)
        with unset_fake_temporarily():
            return func(*args, **kwargs)

    def _as_fake(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)


@contextmanager
def fake_cuda():
    with FakeTensorMode() as fake, OnlyCUDAIsFake(fake):
        yield
