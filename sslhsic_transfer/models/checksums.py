"""Checksums of a network's tensors, to tell whether they have changed."""

import torch
from torch import nn

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def checksums(module: nn.Module) -> tuple[int, ...] | None:
    """Compute a number for each tensor of the state dict from its bits; training changes it, another device does not.

    None where tensors have no values, as on the meta device.
    """
    sums = []
    for tensor in module.state_dict().values():
        if tensor.is_meta:
            return None
        bits = tensor.detach().contiguous().view(_INTEGERS[tensor.element_size()])
        sums.append(bits.sum(dtype=torch.int64))
    return tuple(torch.stack(sums).tolist())
