"""Metadata of an exported file, read and written without torch."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sslhsic_transfer._config import validate
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.errors import ModelFileError
from sslhsic_transfer.models.config import EncoderConfig, Stage
from sslhsic_transfer.models.preprocessing import Preprocessing

Output = Literal["pooled", "logits", Stage]
POOLED: frozenset[Output] = frozenset({"pooled", "logits"})  # vectors; the others are maps
FilePrecision = Literal["fp32", "fp16", "int8"]
InputForm = Literal["normalized", "resized", "pictures"]
_PREFIX = "sslhsic."


class FileInfo(BaseModel):
    """Base class of metadata; each field is stored as an entry of the file's metadata, prefixed with ``sslhsic.``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[str]

    format_version: Literal[1] = Field(default=1, description="Version of the format of these metadata entries.")

    def entries(self) -> dict[str, str]:
        """Return the entries of a file's metadata, in a fixed order; unknown facts are left out."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {_PREFIX + name: _text(value) for name, value in values.items()}

    @classmethod
    def of(cls, entries: Mapping[str, str], source: str) -> Self:
        """Read the entries of a file's metadata.

        Raises:
            ModelFileError: this library wrote none of them.
            ConfigError: they are not valid.
        """
        own = {name.removeprefix(_PREFIX): text for name, text in entries.items() if name.startswith(_PREFIX)}
        if not own:
            raise says_nothing(source, cls.kind)
        plain = {name for name, field in cls.model_fields.items() if field.annotation in (str, str | None)}
        values = {name: text if name in plain else _value(text) for name, text in own.items()}
        return validate(cls, values, source=f"The metadata of {source}")


def says_nothing(source: str, kind: str) -> ModelFileError:
    """Make the error for a file without this library's metadata."""
    return ModelFileError(
        f"{source} says nothing of itself: it is no {kind} exported by this library. "
        "Make one: sslhsic export MODEL --output FILE.onnx"
    )


def kind_of(entries: Mapping[str, str]) -> str | None:
    """Return the kind of file that metadata describe: "encoder"; "dense model", if they name a task; or None."""
    if not any(name.startswith(_PREFIX) for name in entries):
        return None
    return "dense model" if _PREFIX + "task" in entries else "encoder"


class OnnxInfo(FileInfo):
    """Facts about an exported encoder; each is an entry of the file's metadata, under ``sslhsic.``."""

    kind: ClassVar[str] = "encoder"

    model: str = Field(description="Name of the encoder at the time of the export.")
    weights_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of the model.safetensors that the file was exported from."
    )
    encoder: EncoderConfig = Field(description="Configuration of the encoder's network.")
    preprocessing: Preprocessing = Field(description="Steps that turn a picture into the encoder's input.")
    input: InputForm = Field(
        description="Form of the input. 'normalized': float32 (B, 3, H, W), after all preprocessing; 'resized': uint8 "
        "(B, H, W, 3), normalized in the graph; 'pictures': uint8 (B, H, W, 3) of any size, with all preprocessing in "
        "the graph."
    )
    outputs: tuple[Output, ...] = Field(
        min_length=1, description="Names of the outputs: 'pooled', 'c2' to 'c5', and 'logits' (B, classes)."
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Names of a classifier's classes, in the order of the logits; empty for an encoder alone.",
    )
    precision: FilePrecision = Field(
        description="Precision of weights and arithmetic; inputs and outputs stay float32."
    )
    quantization: str | None = Field(
        default=None, description="Description of how an int8 file was quantized; null: it was not."
    )
    opset: int = Field(description="Version of ONNX's standard operators.")
    licence: str | None = Field(default=None, description="SPDX identifier of the weights' license; null: unknown.")
    library_version: str = Field(description="Version of sslhsic_transfer that exported the file.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return parse_json(text) if text[:1] in "[{0123456789" else text
    except ValueError:
        return text
