"""Check that tensors can be weights: dense, of a floating dtype, with values in memory."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.tensor_checks import some
from sslhsic_transfer.hub.weights_file import FLOATING

COUNTER = "num_batches_tracked"


def check_kinds(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse encoder tensors that cannot become float32 weights without guessing.

    Args:
        tensors: torchvision's name -> tensor.
        source: where the tensors come from, for the message.

    Raises:
        WeightsError: tensors are sparse, quantized, without values, complex, integer, float8, or of a tensor subclass;
            the message names each with its kind.
    """
    odd = [f"{name} ({what})" for name, tensor in tensors.items() if (what := _oddity(name, tensor))]
    if odd:
        raise WeightsError(
            f"{source} holds tensors that are no plain weights:\n"
            + "\n".join(some("tensors", odd))
            + "\nExpected dense tensors of float16, bfloat16, float32 or float64: convert them where they were made, "
            "such as tensor.to_dense(), tensor.dequantize(), tensor.full_tensor(), tensor.float()."
        )


def _oddity(name: str, tensor: Tensor) -> str | None:
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
    if tensor.is_quantized:
        return f"quantized, {tensor.dtype}"
    if tensor.is_meta:
        return "on the meta device, without values"
    if tensor.dtype in FLOATING:
        return None if name.rpartition(".")[2] != COUNTER or _is_whole(tensor) else "no whole number"
    if name.rpartition(".")[2] == COUNTER and not tensor.is_complex() and tensor.dtype != torch.bool:
        return None
    return str(tensor.dtype)


def _is_whole(tensor: Tensor) -> bool:
    values = tensor.detach()
    return values.numel() != 1 or bool((values.abs() < 2**53).all() and (values == values.round()).all())
