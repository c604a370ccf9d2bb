"""Checks of state dicts: kinds of tensors, names, shapes, finite values."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sslhsic_transfer.errors import WeightsError

COUNTER = "num_batches_tracked"
# Float8 is left out: it needs scales, which no tensor here has.
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
            + "\n".join(summarize_names("tensors", odd))
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


def check_fit(
    network: nn.Module, state: Mapping[str, torch.Tensor], source: str, *, called: str, advice: str = ""
) -> None:
    """Refuse a state dict unless its names and shapes match the network's exactly.

    Args:
        network: the network that the weights are for.
        state: names and tensors.
        source: where the weights come from, for the message.
        called: the network's name in the message.
        advice: how to fix it, for the message.

    Raises:
        WeightsError: tensors are missing, unknown or of another shape; the message lists them.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    other = [f"{n} {found[n]} instead of {expected[n]}" for n in expected if n in found and found[n] != expected[n]]
    if expected.keys() == found.keys() and not other:
        return
    problems = [
        *summarize_names("missing", sorted(expected.keys() - found.keys())),
        *summarize_names("not of this network", sorted(found.keys() - expected.keys())),
        *summarize_names("of another shape", other),
    ]
    raise WeightsError("\n".join([f"{source} does not fit {called}:", *problems, *([advice] if advice else [])]))


def refuse_non_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse NaN and infinite values.

    Raises:
        WeightsError: tensors hold such values; the message names them.
    """
    # Told by the extremes: one pass, without a copy of the tensor.
    bad = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all()
    ]
    if bad:
        listed = summarize_names("tensors", bad)
        raise WeightsError("\n".join([f"Weights of {source} hold NaN or infinite values:", *listed]))


def summarize_names(what: str, names: Sequence[str], most: int = 5) -> list[str]:
    """Return a line that counts names and lists the first of them; no line if there are no names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"  {len(names)} {what}: {', '.join(names[:most])}{more}"] if names else []
