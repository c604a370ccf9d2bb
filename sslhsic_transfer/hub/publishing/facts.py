"""Facts about weights that a card needs, stored under ``metadata`` in config.json."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from sslhsic_transfer.errors import ConfigError, PublishError

_BY_THE_PUBLISHER = ("licence", "trained_by", "energy_kwh", "note", "intended_use", "limits")


class ModelFacts(BaseModel):
    """Facts about weights. The required ones must be known before the weights are published."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    licence: str = Field(description="SPDX identifier of the weights' license, such as apache-2.0.")
    trained_by: str = Field(min_length=2, description="Person or organization that trained the weights.")
    objective: str = Field(description="Training objective, such as ssl-hsic.")
    data: str = Field(description="Name of the training data.")
    pictures: int = Field(ge=1, description="Number of training pictures.")
    epochs: float = Field(gt=0, description="Number of passes over the training pictures.")
    hardware: str = Field(description="Processor or accelerator that the training ran on.")
    hours: float = Field(ge=0, description="Duration of the training in hours.")
    energy_kwh: float | None = Field(
        default=None, ge=0, description="Energy that the training used, in kilowatt-hours; null: not measured."
    )
    note: str | None = Field(default=None, description="Remark that stands first on the model card; null: none.")
    intended_use: str = Field(
        default="Embeddings for retrieval, clustering, k-NN and linear classification; the start of fine-tuning for "
        "classification, segmentation, detection and depth.",
        description="Uses that the weights are meant for.",
    )
    limits: str = Field(
        default="The embeddings carry whatever biases the training pictures have, and serve pictures unlike these "
        "worse. They were not tested for decisions about people.",
        description="Biases of the weights, and uses that they are not meant for.",
    )

    @field_validator("licence")
    @classmethod
    def _an_identifier(cls, licence: str) -> str:
        if not licence or set(licence) - set("abcdefghijklmnopqrstuvwxyz0123456789.-+"):
            raise ValueError(f"expected an SPDX identifier in lower case, such as apache-2.0 or mit, got {licence!r}")
        return licence


def known_facts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a user's facts to their types where possible: ``{"hours": "1.5"}`` -> ``{"hours": 1.5}``.

    Raises:
        ConfigError: a fact's name is unknown.
    """
    fields = ModelFacts.model_fields
    if unknown := sorted(given.keys() - fields.keys()):
        raise ConfigError(f"Unknown facts: {', '.join(unknown)}; known are {', '.join(fields)}.")
    return {name: _typed(fields[name].annotation, value) for name, value in given.items() if value is not None}


def read_facts(metadata: Mapping[str, Any]) -> ModelFacts:
    """Return the facts in the metadata of a config.json.

    Raises:
        PublishError: facts are missing or invalid; the message lists all, and where each comes from.
    """
    try:
        return ModelFacts.model_validate(metadata)
    except ValidationError as error:
        raise PublishError("\n".join(_describe(problem) for problem in error.errors())) from error


def _describe(problem: Any) -> str:
    name = str(problem["loc"][0])
    source = "" if name in _BY_THE_PUBLISHER else "`sslhsic pretrain` records it; for other weights, "
    description = (ModelFacts.model_fields[name].description or "").rstrip(".")
    what = "missing" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    return f"{name} ({description}): {what}; {source}pass it when publishing."


def _typed(kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return value  # `read_facts` reports it
