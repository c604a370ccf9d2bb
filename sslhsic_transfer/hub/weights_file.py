"""model.safetensors: read strictly, into exactly the tensors that a network has."""

import struct
from pathlib import Path

import torch

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.config_file import CONFIG_NAME
from sslhsic_transfer.hub.state import check_fit, check_there, not_whole, read_safetensors
from sslhsic_transfer.models.encoder import Encoder

LARGEST_HEADER = 1 << 20  # bytes; that of a ResNet-152 has about 100 KB


def largest_weights(encoder: Encoder) -> int:
    """The most bytes that a file with an encoder's weights can have: eight for each number, and the header."""
    return 8 + LARGEST_HEADER + 8 * sum(tensor.numel() for tensor in encoder.state_dict().values())


def read_weights(path: Path, encoder: Encoder) -> dict[str, torch.Tensor]:
    """Read a safetensors file that must hold an encoder's state dict: all of it, nothing else.

    Args:
        path: the file.
        encoder: what it is for; may be on the meta device.

    Returns:
        Name -> tensor on the CPU, in the dtypes of the file.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is damaged, or its names, shapes or kinds of numbers are not the encoder's.
    """
    check_there(path)
    _check_sizes(path, largest_weights(encoder))
    state = read_safetensors(path)
    check_fit(encoder, state, str(path), called=str(encoder.config), advice=f"Check 'encoder' in {CONFIG_NAME}.")
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise WeightsError(f"{path}: {name} holds {state[name].dtype}; expected the kind of {tensor.dtype}.")
    return state


def _check_sizes(path: Path, most: int) -> None:
    size = path.stat().st_size
    if size > most:
        raise WeightsError(f"{path} has {size} bytes; this network's weights have at most {most}.")
    with path.open("rb") as file:
        start = file.read(8)
    header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= header <= min(LARGEST_HEADER, size - 8):
        raise not_whole(path, f"its header would have {header} bytes")
