"""pretraining.safetensors: what pretraining needs beside the encoder to go on, in the folder of a converted model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer.errors import FingerprintError, OutputExistsError
from sslhsic_transfer.hub.config_file import read_config
from sslhsic_transfer.hub.files import WEIGHTS_NAME, ModelFiles
from sslhsic_transfer.hub.safetensors_file import not_whole, read_safetensors_file
from sslhsic_transfer.hub.state import refuse_non_finite

PRETRAINING_NAME = "pretraining.safetensors"

_LEARNER = "learner."
_SCALE = "kernel_scale"


@dataclass(frozen=True)
class PretrainingState:
    """The networks of a pretraining run, and what goes with them.

    Attributes:
        learner: the state dict of a `sslhsic_transfer.pretrain.networks.Learner`: online encoder and projector,
            predictor, target encoder and projector, with their statistics.
        kernel_scale: the kernel's scale, a scalar; None: the method has none.
        averaged: how many weights are in the average that the folder's model.safetensors holds; 0: it holds the online
            weights.
    """

    learner: Mapping[str, torch.Tensor]
    kernel_scale: torch.Tensor | None
    averaged: int


def save_pretraining(state: PretrainingState, directory: str | Path, *, overwrite: bool = False) -> Path:
    """Write a state beside the model that it belongs to.

    Args:
        state: what to write.
        directory: a model folder, whose weights' hash is noted.
        overwrite: whether a file that is there already may be replaced.

    Returns:
        The file.

    Raises:
        OutputExistsError: there is one, and ``overwrite`` is false.
        ModelNotFoundError, ConfigError: the directory is no model folder.
        WeightsError: NaN or infinite values.
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
    """Read the state in a model folder.

    Raises:
        ModelNotFoundError, ConfigError: there is none, or no model beside it.
        WeightsError: it is damaged, or holds NaN or infinite values.
        FingerprintError: it belongs to other weights than those beside it.
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
