"""pretraining.safetensors: the state that pretraining needs, besides the encoder, to resume a converted model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer.errors import FingerprintError, OutputExistsError
from sslhsic_transfer.hub.config_file import WEIGHTS_NAME, ModelFiles, read_config
from sslhsic_transfer.hub.safetensors_file import not_whole, read_safetensors_file
from sslhsic_transfer.hub.tensor_checks import refuse_non_finite

PRETRAINING_NAME = "pretraining.safetensors"

_LEARNER = "learner."
_SCALE = "kernel_scale"


@dataclass(frozen=True)
class PretrainingState:
    """The networks of a pretraining run and their scale and averaging count.

    Attributes:
        learner: the state dict of a `sslhsic_transfer.pretrain.networks.Learner`: online encoder and projector,
            predictor, target encoder and projector, with their statistics.
        kernel_scale: the kernel's scale, a scalar; None if the method has none.
        averaged: the number of weights averaged in the folder's model.safetensors; 0 if it holds the online weights.
    """

    learner: Mapping[str, torch.Tensor]
    kernel_scale: torch.Tensor | None
    averaged: int


def save_pretraining(state: PretrainingState, directory: str | Path, *, overwrite: bool = False) -> Path:
    """Write a pretraining state next to the model that it belongs to.

    Args:
        state: what to write.
        directory: a model folder; the hash of its weights is recorded.
        overwrite: whether an existing file may be replaced.

    Returns:
        The path of the file.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        ModelNotFoundError, ConfigError: the directory is not a model folder.
        WeightsError: the state holds NaN or infinite values.
    """
    path = Path(directory) / PRETRAINING_NAME
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} already exists; choose another folder, or pass overwrite=True (--overwrite).")
    tensors = {f"{_LEARNER}{name}": tensor.contiguous() for name, tensor in state.learner.items()}
    if state.kernel_scale is not None:
        tensors[_SCALE] = state.kernel_scale
    refuse_non_finite(tensors, "the networks of pretraining")
    weights = read_config(ModelFiles.at(directory).config).fingerprint.sha256
    with atomic_path(path) as temporary:
        save_file(
            tensors, temporary, metadata={"format": "pt", "weights_sha256": weights, "averaged": str(state.averaged)}
        )
    return path


def load_pretraining(directory: str | Path) -> PretrainingState:
    """Read the pretraining state in a model folder.

    Raises:
        ModelNotFoundError, ConfigError: there is no such file, or no model next to it.
        WeightsError: the file is damaged, or holds NaN or infinite values.
        FingerprintError: the file belongs to other weights than those next to it.
    """
    path = Path(directory) / PRETRAINING_NAME
    content = read_safetensors_file(path)
    tensors, metadata = content.tensors, content.metadata
    try:
        weights, averaged = metadata["weights_sha256"], int(metadata["averaged"])
    except (KeyError, ValueError) as error:
        raise not_whole(path, f"metadata: {error}") from error
    if (found := read_config(ModelFiles.at(directory).config).fingerprint.sha256) != weights:
        raise FingerprintError(
            f"{path} was written beside weights of SHA-256 {weights}; {WEIGHTS_NAME} there has {found}. Convert the "
            "checkpoint again, with --with-heads."
        )
    refuse_non_finite(tensors, str(path))
    scale = tensors.pop(_SCALE, None)
    return PretrainingState({name.removeprefix(_LEARNER): t for name, t in tensors.items()}, scale, averaged)
