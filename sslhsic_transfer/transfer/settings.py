"""Settings that the tasks of fine-tuning share. Each task's own settings stand in its file in `tasks/`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer._precision import PrecisionChoice

ShortSide = Annotated[
    int | None,
    Field(
        ge=32,
        description="Length in pixels to which the short side of pictures is resized first; null: pictures keep their "
        "size.",
    ),
]
_Side = Annotated[int, Field(ge=32)]
Crop = Annotated[tuple[_Side, _Side], Field(description="Height and width of the training crops, in pixels.")]
ColorJitter = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Strength of the random changes of brightness, contrast and saturation; 0: none.",
    ),
]
ClipGradient = Annotated[
    float,
    Field(ge=0, description="Largest norm of the gradient, to which larger ones are clipped; 0: no clipping."),
]
LearningRate = Annotated[float, Field(gt=0, description="Peak learning rate, reached at the end of the warm-up.")]
BatchSize = Annotated[int, Field(ge=1, description="Number of pictures per step, over all processes.")]


class TransferSettings(BaseModel):
    """Settings shared by all tasks. The learning rate warms up linearly and then follows `schedule`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: str = Field(default="train", min_length=1, description="Name of the split to train on.")
    test: str = Field(
        default="val",
        min_length=1,
        description="Name of the split to evaluate on. Choose the test split only once all settings are fixed.",
    )
    layout: str = Field(
        default="auto",
        description="Layout of the data set's folder, such as coco or voc; auto: recognized from its files.",
    )
    iterations: int = Field(default=2000, ge=1, description="Number of training steps.")
    batch_size: BatchSize = 8
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="Name of the optimizer.")
    learning_rate: LearningRate = 5e-4
    weight_decay: float = Field(
        default=1e-4, ge=0, description="Weight decay; biases and normalization layers never decay."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD's momentum.")
    nesterov: bool = Field(default=False, description="If true, SGD uses Nesterov momentum.")
    warmup: int = Field(
        default=50,
        ge=0,
        description="Number of steps over which the learning rate rises linearly to its peak; 0: no warm-up.",
    )
    schedule: Literal["cosine", "poly", "steps"] = Field(
        default="cosine",
        description="Learning rate after the warm-up. cosine: falls to 0 on a cosine; poly: falls to 0 as (1 − "
        "t)^0.9; steps: falls to a tenth at 70 % of the run and again at 90 %.",
    )
    clip_gradient: ClipGradient = 0.0
    freeze_at: int = Field(
        default=0,
        ge=0,
        le=5,
        description="Number of encoder parts, from the input on, that do not train. 0: none; 1: the stem; 2: the stem "
        "and c2; … 5: all.",
    )
    norm_eval: bool = Field(default=False, description="If true, the encoder's batch statistics stay fixed.")
    precision: PrecisionChoice = Field(
        default="fp32",
        description="Precision of the forward passes; auto: bf16 if the device computes in it natively, else fp32.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the head's initial weights, of the order of the pictures and of the augmentation.",
    )
    workers: int = Field(
        default=2,
        ge=0,
        description="Number of processes that read pictures; 0: the training process reads them itself.",
    )
    log_every: int = Field(default=20, ge=1, description="Number of steps between lines of metrics.jsonl.")
    checkpoint_every: int = Field(default=500, ge=1, description="Number of steps between checkpoints.")

    @model_validator(mode="after")
    def _warmup_fits(self) -> "TransferSettings":
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup is {self.warmup}; expected fewer than iterations, {self.iterations}: set it too")
        return self
