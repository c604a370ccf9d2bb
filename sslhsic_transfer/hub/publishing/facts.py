"""What a card must be able to say about weights: kept under ``metadata`` in config.json."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sslhsic_transfer.errors import PublishError

_BY_PRETRAINING = "`sslhsic pretrain` records it; for other weights set encoder.metadata"
_BY_THE_PUBLISHER = "pass it when publishing"


class ModelFacts(BaseModel):
    """Facts about weights. Those that are required must be known before the weights are published."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    licence: str = Field(description="SPDX identifier of the weights' licence, such as apache-2.0.")
    trained_by: str = Field(min_length=2, description="Who trained them.")
    objective: str = Field(description="What was optimised, such as ssl-hsic.")
    data: str = Field(description="What they were trained on.")
    pictures: int = Field(ge=1, description="Training pictures.")
    epochs: float = Field(gt=0, description="Passes over them.")
    hardware: str = Field(description="What it was computed on.")
    hours: float = Field(ge=0, description="How long that took.")
    energy_kwh: float | None = Field(default=None, ge=0, description="Energy used, if it was measured.")
    intended_use: str = Field(
        default="Embeddings for retrieval, clustering, k-NN and linear classification; the start of fine-tuning for "
        "classification, segmentation, detection and depth.",
        description="What the weights are for.",
    )
    limits: str = Field(
        default="The embeddings carry whatever biases the training pictures have, and serve pictures unlike these "
        "worse. They were not tested for decisions about people.",
        description="What they are not for.",
    )

    @field_validator("licence")
    @classmethod
    def _an_identifier(cls, licence: str) -> str:
        if not licence or set(licence) - set("abcdefghijklmnopqrstuvwxyz0123456789.-+"):
            raise ValueError(f"expected an SPDX identifier in lower case, such as apache-2.0 or mit, got {licence!r}")
        return licence


def read_facts(metadata: Mapping[str, Any]) -> ModelFacts:
    """The facts among the metadata of a config.json.

    Raises:
        PublishError: some are missing or cannot be; all are listed, with where each comes from.
    """
    try:
        return ModelFacts.model_validate(metadata)
    except ValidationError as error:
        raise PublishError("\n".join(_describe(problem) for problem in error.errors())) from error


def _describe(problem: Any) -> str:
    name = str(problem["loc"][0])
    source = _BY_THE_PUBLISHER if name in ("licence", "trained_by", "energy_kwh") else _BY_PRETRAINING
    what = "missing" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    return f"{name} ({ModelFacts.model_fields[name].description}): {what}; {source}."
