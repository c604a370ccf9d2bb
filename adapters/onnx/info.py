"""What an exported file says of itself, in its metadata; read and written without torch."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sslhsic_transfer._config import validated
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
    """What files of every kind share: how facts become entries of a file's metadata, under ``sslhsic.``, and back."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[str]

    format_version: Literal[1] = Field(default=1, description="Version of these entries.")

    def entries(self) -> dict[str, str]:
        """As entries of a file's metadata, in a fixed order; what is not known is left out."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {_PREFIX + name: _text(value) for name, value in values.items()}

    @classmethod
    def of(cls, entries: Mapping[str, str], source: str) -> Self:
        """From the entries of a file's metadata.

        Raises:
            ModelFileError: there are none of ours.
            ConfigError: they do not validate.
        """
        own = {name.removeprefix(_PREFIX): text for name, text in entries.items() if name.startswith(_PREFIX)}
        if not own:
            raise says_nothing(source, cls.kind)
        plain = {name for name, field in cls.model_fields.items() if field.annotation in (str, str | None)}
        values = {name: text if name in plain else _value(text) for name, text in own.items()}
        return validated(cls, values, source=f"The metadata of {source}")


def says_nothing(source: str, kind: str) -> ModelFileError:
    """Make the error for a file without metadata of ours."""
    return ModelFileError(
        f"{source} says nothing of itself: it is no {kind} exported by this library. "
        "Make one: sslhsic export MODEL --output FILE.onnx"
    )


def kind_of(entries: Mapping[str, str]) -> str | None:
    """What a file's metadata are of: an "encoder"; a "dense model", which alone names a task; or None."""
    if not any(name.startswith(_PREFIX) for name in entries):
        return None
    return "dense model" if _PREFIX + "task" in entries else "encoder"


class OnnxInfo(FileInfo):
    """Facts about an exported encoder; each is an entry of the file's metadata, under ``sslhsic.``."""

    kind: ClassVar[str] = "encoder"

    model: str = Field(description="What the encoder was called when it was exported.")
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the model.safetensors it comes from.")
    encoder: EncoderConfig = Field(description="Which network.")
    preprocessing: Preprocessing = Field(description="How pictures become its input.")
    input: InputForm = Field(
        description="'normalized': float32 (B, 3, H, W), after all preprocessing; 'resized': uint8 (B, H, W, 3), "
        "normalised in the graph; 'pictures': uint8 (B, H, W, 3) of any size, all of the preprocessing in the graph."
    )
    outputs: tuple[Output, ...] = Field(
        min_length=1, description="What it gives: 'pooled', 'c2' to 'c5', and 'logits' (B, classes)."
    )
    classes: tuple[str, ...] = Field(default=(), description="Of a classifier: names, in the order of the logits.")
    precision: FilePrecision = Field(description="Of weights and arithmetic; inputs and outputs stay float32.")
    quantization: str | None = Field(default=None, description="How an int8 file was made.")
    opset: int = Field(description="Version of the standard operators.")
    licence: str | None = Field(default=None, description="SPDX identifier of the weights' licence.")
    library_version: str = Field(description="Of sslhsic_transfer.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return parse_json(text) if text[:1] in "[{0123456789" else text
    except ValueError:
        return text
