"""Checks of state dicts: names, shapes, finite values."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from sslhsic_transfer.errors import WeightsError


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
    problems = [
        *some("missing", sorted(expected.keys() - found.keys())),
        *some("not of this network", sorted(found.keys() - expected.keys())),
        *some(
            "of another shape",
            [f"{n} {found[n]} instead of {expected[n]}" for n in expected if n in found and found[n] != expected[n]],
        ),
    ]
    if problems:
        raise WeightsError("\n".join([f"{source} does not fit {called}:", *problems, *([advice] if advice else [])]))


def refuse_non_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse NaN and infinite values.

    Raises:
        WeightsError: tensors hold such values; the message names them.
    """
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not _is_finite(tensor)]
    if bad:
        raise WeightsError("\n".join([f"Weights of {source} hold NaN or infinite values:", *some("tensors", bad)]))


def some(what: str, names: Sequence[str], most: int = 5) -> list[str]:
    """Return a line that counts names and lists the first of them; no line if there are no names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"  {len(names)} {what}: {', '.join(names[:most])}{more}"] if names else []


def _is_finite(tensor: torch.Tensor) -> bool:
    """Tell whether all values are finite, by the extremes: one pass, without a copy of the tensor."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())
