"""config.json: the network, its preprocessing, the fingerprint of its weights, metadata, and the keys that timm reads.

Torch is not needed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError, to_jsonable_python

import sslhsic_transfer
from sslhsic_transfer._config import shorten, validate
from sslhsic_transfer._files import json_text, write_text
from sslhsic_transfer._json import DEEPEST, parse_json, read_json
from sslhsic_transfer.errors import ConfigError, FingerprintError, ModelNotFoundError
from sslhsic_transfer.models.config import EncoderConfig, family_of
from sslhsic_transfer.models.preprocessing import Preprocessing

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
LARGEST_CONFIG = 1 << 20  # bytes
FEATURES_KEPT = 16


@dataclass(frozen=True)
class ModelFiles:
    """Paths of a model's two files on this machine.

    Attributes:
        config: config.json.
        weights: model.safetensors, or a weights file of another name next to its config.json.
    """

    config: Path
    weights: Path

    @classmethod
    def at(cls, path: str | Path) -> "ModelFiles":
        """Return the files of a folder, or a weights file and the config.json next to it."""
        path = Path(path)
        folder, name = (path.parent, path.name) if path.suffix == ".safetensors" else (path, WEIGHTS_NAME)
        return cls(folder / CONFIG_NAME, folder / name)


class Fingerprint(BaseModel):
    """Identity of a set of weights; see `sslhsic_transfer.hub.fingerprint`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of model.safetensors.")
    features: list[float] = Field(
        min_length=FEATURES_KEPT,
        max_length=FEATURES_KEPT,
        description="First values of the embedding that the encoder computes for a fixed input.",
    )


class OnnxFile(BaseModel):
    """Entry for an exported file in the model folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(
        pattern=r"^onnx/[A-Za-z0-9_]+\.onnx$", description="Path of the file, relative to the model folder."
    )
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")
    size: int = Field(gt=0, description="Size of the file in bytes.")


class FolderConfig(BaseModel):
    """This library's part of config.json. Keys of other libraries are ignored."""

    model_config = ConfigDict(extra="ignore")

    format_version: Literal[1] = Field(description="Version of the format of config.json.")
    encoder: EncoderConfig = Field(description="Configuration of the encoder's network.")
    preprocessing: Preprocessing = Field(description="Steps that turn a picture into the encoder's input.")
    fingerprint: Fingerprint = Field(
        description="Identity of the weights: their hash and the features of a fixed input."
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Facts about the weights, such as their license and training data."
    )
    onnx: dict[str, OnnxFile] = Field(default_factory=dict, description="Exported ONNX files, by their precision.")


def config_values(config: FolderConfig) -> dict[str, Any]:
    """Return the content of config.json: this library's keys, and the keys that timm reads."""
    library = {"library_name": "sslhsic-transfer", "library_version": sslhsic_transfer.__version__}
    others = timm_config(config.encoder, config.preprocessing)
    own = config.model_dump(mode="json", exclude=None if config.onnx else {"onnx"})
    return library | own | others


def config_text(config: FolderConfig) -> str:
    """Return the text of a config.json.

    Raises:
        ConfigError: the metadata hold values that JSON cannot hold, or the text is larger than the reader accepts.
    """
    for name, fact in config.metadata.items():
        try:
            parse_json(
                json.dumps(to_jsonable_python(fact, inf_nan_mode="constants"), allow_nan=False), deepest=DEEPEST - 8
            )
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"metadata: {name!r} is {shorten(fact)}, of {type(fact).__name__}; expected text, finite numbers, "
                f"truth values, lists and dictionaries of Python, such as float(value), up to {DEEPEST - 8} deep."
            ) from error
    text = json_text(config_values(config))
    if (size := len(text.encode(errors="replace"))) > LARGEST_CONFIG:
        raise ConfigError(f"metadata: config.json would have {size} bytes; expected at most {LARGEST_CONFIG}.")
    return text


def write_config(path: Path, config: FolderConfig) -> None:
    """Write a config.json; raises the errors of `config_text`."""
    write_text(path, config_text(config))


def read_config(path: Path, *, sha256: str | None = None) -> FolderConfig:
    """Read and validate a config.json.

    Args:
        path: the file, or the folder that holds it.
        sha256: the hash that the weights must have, if it is known from elsewhere.

    Raises:
        ModelNotFoundError: the folder or its config.json does not exist.
        ConfigError: the file is too large, does not parse or does not validate.
        FingerprintError: the file describes other weights.
    """
    path = path / CONFIG_NAME if path.is_dir() else path
    if not path.is_file():
        folder = path.parent
        there = sorted(entry.name for entry in folder.iterdir())[:8] if folder.is_dir() else ["no folder"]
        advice = "A model folder is what encoder.save_pretrained(directory) and `sslhsic pretrain` write."
        if (folder / "transfer.json").is_file():
            advice = "It is a fine-tuned model; expected an encoder. Use load_transferred, `sslhsic export` or verify."
        elif (folder / "model").is_dir():
            advice = f"Do you mean {folder / 'model'}/?"
        if path.is_symlink():
            advice = f"It is a link to {path.readlink()}, where there is no file: fetch it, as by `git annex get`."
        raise ModelNotFoundError(f"No {path.name} in {folder} (found: {', '.join(there) or 'nothing'}). {advice}")
    try:
        values = read_json(path, largest=LARGEST_CONFIG)
        json_text(values).encode()  # an unpaired surrogate could not be written again
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not JSON: {error}. Fetch or save the folder again.") from error
    if not isinstance(values, dict) or "format_version" not in values:
        raise ConfigError(f"{path} was not written by this library: it has no 'format_version'.")
    config = validate(FolderConfig, values, source=str(path))
    if sha256 is not None and config.fingerprint.sha256 != sha256:
        raise FingerprintError(
            f"{path} describes weights with SHA-256 {config.fingerprint.sha256}; expected {sha256}. These are "
            "not the weights that the name stands for: fetch them again, or name the folder itself."
        )
    return config


def timm_config(encoder: EncoderConfig, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return timm's part of config.json; empty if timm cannot compute the same.

    Timm lacks some networks (small stem, SAME padding, wide), and cannot crop before it resizes (style byol-jax).
    """
    if (encoder.stem, encoder.padding, encoder.width) != ("imagenet", "torch", 1):
        return {}
    if preprocessing.style != "torchvision":
        return {}
    size = preprocessing.crop
    family = family_of(encoder.architecture)
    side = -(-size // encoder.specs["c5"].stride)
    return {
        "architecture": encoder.architecture,
        "num_classes": 0,
        "num_features": encoder.feature_dim,
        **({"global_pool": family.timm_pooling} if family.timm_pooling else {}),
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "interpolation": preprocessing.interpolation,
            "crop_pct": size / preprocessing.resize,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": 0,
            **family.timm_layers,
            **({"pool_size": [side, side]} if family.timm_pooling else {}),
        },
    }
