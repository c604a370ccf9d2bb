"""model.safetensors: read strictly, into exactly the tensors that a network has."""

import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sslhsic_transfer.errors import ModelNotFoundError, WeightsError

WEIGHTS_NAME = "model.safetensors"
LARGEST_HEADER = 1 << 20  # bytes; that of a ResNet-152 has about 100 KB


def largest_weights(network: torch.nn.Module) -> int:
    """The most bytes that a file with a network's weights can have: eight for each number, and the header."""
    return 8 + LARGEST_HEADER + 8 * sum(tensor.numel() for tensor in network.state_dict().values())


def read_weights(path: Path, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Read a safetensors file that must hold a network's state dict: all of it, nothing else.

    Args:
        path: the file.
        network: what it is for; may be on the meta device.

    Returns:
        Name -> tensor on the CPU, in the dtypes of the file.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is damaged, or its names, shapes or kinds of numbers are not the network's.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"No {path.name} in {path.parent}. Fetch or save the folder again.")
    _check_sizes(path, largest_weights(network))
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _check_fit({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, found, path)
            state: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, struct.error, ValueError) as error:
        raise _not_whole(path, str(error)) from error
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise WeightsError(f"{path}: {name} holds {state[name].dtype}; expected the kind of {tensor.dtype}.")
    return state


def refuse_non_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Raise WeightsError where a tensor holds NaN or infinite values."""
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not _is_finite(tensor)]
    if bad:
        raise WeightsError("\n".join([f"Weights of {source} hold NaN or infinite values:", *_some("tensors", bad)]))


def _is_finite(tensor: torch.Tensor) -> bool:
    """By its extremes, which NaN and infinity reach: one pass, and no copy of the tensor."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _check_sizes(path: Path, most: int) -> None:
    size = path.stat().st_size
    if size > most:
        raise WeightsError(f"{path} has {size} bytes; this network's weights have at most {most}.")
    with path.open("rb") as file:
        start = file.read(8)
    header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= header <= min(LARGEST_HEADER, size - 8):
        raise _not_whole(path, f"its header would have {header} bytes")


def _not_whole(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} ({path.stat().st_size} bytes) is not a whole safetensors file: {reason}. Fetch or save it again."
    )


def _check_fit(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], path: Path) -> None:
    problems = [
        *_some("missing", sorted(expected.keys() - found.keys())),
        *_some("not of this network", sorted(found.keys() - expected.keys())),
        *_some(
            "of another shape",
            [f"{n} {found[n]} instead of {expected[n]}" for n in expected if n in found and found[n] != expected[n]],
        ),
    ]
    if problems:
        text = "\n".join(problems)
        raise WeightsError(f"{path} does not fit the network of its config.json:\n{text}\nCheck 'encoder' in it.")


def _some(what: str, names: list[str], most: int = 5) -> list[str]:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"  {len(names)} {what}: {', '.join(names[:most])}{more}"] if names else []
