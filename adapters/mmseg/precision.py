"""Forward passes in bfloat16 on any device; mmengine's own mixed precision needs an accelerator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from sslhsic_transfer._precision import Precision


@OPTIM_WRAPPERS.register_module()
class SSLHSICBFloat16OptimWrapper(OptimWrapper):
    """An ``OptimWrapper`` whose forward passes run in bfloat16; weights, gradients and losses stay in float32.

    bfloat16 has float32's range, so the loss is not scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Provide the context of a training step's forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


OPTIM_WRAPPER_TYPES: dict[Precision, str] = {
    "fp32": "OptimWrapper",
    "bf16": SSLHSICBFloat16OptimWrapper.__name__,
    "fp16": "AmpOptimWrapper",
}
