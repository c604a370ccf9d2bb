"""The outputs that can be computed for a picture: the pooled embedding, and the mean of a stage's feature map."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import Output
from sslhsic_transfer.models.config import STAGES

OUTPUTS: tuple[Output, ...] = ("pooled", *STAGES)


def parse_outputs(names: str | Sequence[str]) -> tuple[Output, ...]:
    """Read the names of outputs, such as ``"pooled,c4"``.

    Raises:
        ConfigError: a name is unknown or given twice, or there is none.
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    chosen = [output for name in listed for output in OUTPUTS if output == name]
    if len(chosen) < len(listed) or not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(f"Got the outputs {','.join(listed)!r}; expected one or more of {', '.join(OUTPUTS)}.")
    return tuple(chosen)


def output_sizes(encoder: Encoder, outputs: Sequence[Output]) -> dict[str, int]:
    """Tell the number of values of each output for a picture."""
    return {name: encoder.feature_dim if name == "pooled" else encoder.specs[name].channels for name in outputs}


def compute_outputs(
    encoder: Encoder, images: Tensor, outputs: Sequence[Output], *, normalize: bool = False
) -> Mapping[str, Tensor]:
    """Compute outputs of normalized pictures (B, 3, H, W) in one pass: (B, dim) float32 each, on their device.

    Args:
        encoder: in eval mode.
        images: the pictures.
        outputs: which outputs.
        normalize: whether to divide each vector by its Euclidean norm.
    """
    if tuple(outputs) == ("pooled",):
        vectors: dict[str, Tensor] = {"pooled": encoder(images).float()}
    else:
        found = encoder.backbone.forward_outputs(images, outputs)
        vectors = {name: (found[name] if name == "pooled" else found[name].mean((2, 3))).float() for name in outputs}
    return {name: F.normalize(vector, dim=1) for name, vector in vectors.items()} if normalize else vectors


def empty_outputs(sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Make the outputs of no picture."""
    return {name: torch.empty(0, dim) for name, dim in sizes.items()}
