"""A model folder, on disk and on the Hub alike: config.json, model.safetensors and what describes them."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file

import sslhsic_transfer
from sslhsic_transfer._config import validated
from sslhsic_transfer._files import atomic_path, sha256_of_file, write_json
from sslhsic_transfer.errors import (
    ConfigError,
    FingerprintError,
    ModelNotFoundError,
    OutputExistsError,
)
from sslhsic_transfer.hub.fingerprint import Fingerprint, check_features, probe_features
from sslhsic_transfer.hub.state import check_fit, read_safetensors, refuse_non_finite
from sslhsic_transfer.hub.timm_config import timm_config
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
LARGEST_CONFIG = 1 << 20


class FolderConfig(BaseModel):
    """Our part of config.json; keys of other libraries beside it are left alone."""

    model_config = ConfigDict(extra="ignore")

    format_version: Literal[1] = Field(description="Version of this layout.")
    encoder: EncoderConfig = Field(description="Which network.")
    preprocessing: Preprocessing = Field(description="How pictures become its input.")
    fingerprint: Fingerprint = Field(description="Identity of the weights.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Facts about the weights.")


def save_folder(encoder: Encoder, directory: str | Path, *, overwrite: bool = False) -> Path:
    """Write an encoder's config.json and model.safetensors.

    Args:
        encoder: what to save; its mode and device do not matter. Weights are stored in their own dtype.
        directory: made if need be; other files in it stay.
        overwrite: whether weights that are there already may be replaced.

    Returns:
        The directory.

    Raises:
        OutputExistsError: the directory holds weights and ``overwrite`` is false.
        WeightsError: the weights hold NaN or infinite values.
    """
    directory = Path(directory)
    weights = directory / WEIGHTS_NAME
    if weights.exists() and not overwrite:
        raise OutputExistsError(f"{weights} already exists; choose another folder, or pass overwrite=True.")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    refuse_non_finite(state, "the encoder")
    features = probe_features(encoder)
    with atomic_path(weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
        sha256 = sha256_of_file(temporary)
    config = FolderConfig(
        format_version=1,
        encoder=encoder.config,
        preprocessing=encoder.preprocessing,
        fingerprint=Fingerprint(sha256=sha256, features=features),
        metadata=encoder.metadata,
    )
    library = {"library_name": "sslhsic-transfer", "library_version": sslhsic_transfer.__version__}
    others = timm_config(encoder.config, encoder.preprocessing)
    write_json(directory / CONFIG_NAME, library | config.model_dump(mode="json") | others)
    return directory


def load_folder(directory: str | Path) -> Encoder:
    """Read a model folder: strictly, on the CPU, in the dtype it was stored in, in eval mode.

    Raises:
        ModelNotFoundError: the folder, its config.json or its weights are not there.
        ConfigError: config.json does not parse or does not validate.
        WeightsError: the weights are damaged, incomplete, of another shape, or not finite.
        FingerprintError: the weights are whole but not the ones that config.json describes.
    """
    directory = Path(directory)
    config = read_config(directory)
    weights = directory / WEIGHTS_NAME
    if not weights.is_file():
        raise ModelNotFoundError(f"No {WEIGHTS_NAME} in {directory}. Fetch or save the folder again.")
    state = read_safetensors(weights)
    with torch.device("meta"):
        encoder = Encoder(config.encoder, config.preprocessing, metadata=config.metadata)
    check_fit(encoder, state, str(weights), advice=f"Check 'encoder' in {CONFIG_NAME}.")
    if (found := sha256_of_file(weights)) != config.fingerprint.sha256:
        raise FingerprintError(
            f"{weights} has SHA-256 {found}; {CONFIG_NAME} names {config.fingerprint.sha256}. The file was changed or "
            "exchanged after it was saved: fetch or save the folder again."
        )
    refuse_non_finite(state, str(weights))
    encoder.load_state_dict(state, strict=True, assign=True)
    encoder.requires_grad_(True).eval()
    check_features(encoder, config.fingerprint, source=str(directory))
    return encoder


def read_config(directory: Path) -> FolderConfig:
    """Read and validate a model folder's config.json.

    Raises:
        ModelNotFoundError: no folder, or no config.json in it.
        ConfigError: it does not parse or does not validate.
    """
    path = directory / CONFIG_NAME
    if not path.is_file():
        there = (
            ", ".join(sorted(entry.name for entry in directory.iterdir())[:8]) if directory.is_dir() else "no folder"
        )
        raise ModelNotFoundError(
            f"No {CONFIG_NAME} in {directory} (found: {there or 'nothing'}). A model folder is what "
            "encoder.save_pretrained(directory) and `sslhsic pretrain` write."
        )
    if path.stat().st_size > LARGEST_CONFIG:
        raise ConfigError(f"{path} has {path.stat().st_size} bytes; a config.json has at most {LARGEST_CONFIG}.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}. Fetch or save the folder again.") from error
    if not isinstance(values, dict) or "format_version" not in values:
        raise ConfigError(f"{path} was not written by this library: it has no 'format_version'.")
    return validated(FolderConfig, values, source=str(path))
