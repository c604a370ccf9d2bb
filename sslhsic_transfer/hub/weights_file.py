"""model.safetensors: strict reading of a network's tensors."""

from pathlib import Path

import torch

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.config_file import CONFIG_NAME
from sslhsic_transfer.hub.safetensors_file import (
    LARGEST_HEADER,
    SafetensorsContent,
    check_there,
    read_safetensors_file,
)
from sslhsic_transfer.hub.tensor_checks import check_fit
from sslhsic_transfer.models.encoder import EncoderBase

# Float8 is left out: it needs scales, which no tensor here has.
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def largest_weights(encoder: EncoderBase) -> int:
    """Return the largest size in bytes of a file with an encoder's weights: eight per number, and the header."""
    return 8 + LARGEST_HEADER + 8 * sum(tensor.numel() for tensor in encoder.state_dict().values())


def read_weights(path: Path, encoder: EncoderBase, *, hashed: bool = False) -> SafetensorsContent:
    """Read a safetensors file that must hold exactly an encoder's state dict.

    Args:
        path: the file.
        encoder: the encoder that the file is for; may be on the meta device.
        hashed: whether to hash the bytes.

    Returns:
        Tensors on the CPU in the file's dtypes, and the hash.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is damaged, or its names, shapes or kinds of dtype are not the encoder's.
    """
    check_there(path)
    if (size := path.stat().st_size) > (most := largest_weights(encoder)):
        raise WeightsError(f"{path} has {size} bytes; this network's weights have at most {most}.")
    content = read_safetensors_file(path, hashed=hashed, largest_header=LARGEST_HEADER)
    state = content.tensors
    check_fit(encoder, state, str(path), called=str(encoder.config), advice=f"Check 'encoder' in {CONFIG_NAME}.")
    for name, tensor in encoder.state_dict().items():
        floating = state[name].dtype in FLOATING if tensor.is_floating_point() else state[name].dtype == tensor.dtype
        if not floating:
            expected = "a kind of float of 16 to 64 bits" if tensor.is_floating_point() else tensor.dtype
            raise WeightsError(f"{path}: {name} holds {state[name].dtype}; expected {expected}.")
    return content
