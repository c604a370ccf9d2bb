"""The recipe of a pretraining run: all of its settings, validated together and saved with the result.

Defaults are those of the paper and of its released code; the bundled recipes (``recipes/*.yaml``) list what differs.
"""

from typing import Literal

from pydantic import Field, model_validator

from sslhsic_transfer._precision import PrecisionChoice
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.pretrain.objectives import ObjectiveName
from sslhsic_transfer.pretrain.sections import (
    AugmentationSettings,
    DataSettings,
    HeadSettings,
    LossSettings,
    MonitorSettings,
    OptimizerSettings,
    Probability,
    RivalSettings,
    Section,
)


class Recipe(Section):
    """All settings of a run except the data and the output folder."""

    data: DataSettings = Field(default=DataSettings(), description="Settings of the memory of decoded pictures.")
    encoder: EncoderConfig = Field(
        default=EncoderConfig(architecture="resnet50"), description="Configuration of the encoder's network."
    )
    init_from: str | None = Field(
        default=None,
        description="Weights to start from: a model folder or name, a run's checkpoint, or torchvision/NAME such as "
        "torchvision/IMAGENET1K_V1; null: random weights.",
    )
    init_parts: Literal["encoder", "all"] = Field(
        default="encoder",
        description="Parts of `init_from` to take. encoder: the encoder, with its averaged weights if there are any; "
        "all: the encoder as training left it, and also projector, predictor, target network, kernel scale and "
        "average, from a run's checkpoint or a folder of `sslhsic convert … --with-heads`.",
    )
    zero_init_residual: bool = Field(
        default=True,
        description="If true, the last normalization of each ResNet block starts at zero, so that the block begins as "
        "its shortcut.",
    )
    preprocessing: Preprocessing | None = Field(
        default=None,
        description="Preprocessing that is stored with the encoder; null: the center 7/8 of the short side, at the "
        "size of the views.",
    )
    head: HeadSettings = Field(default=HeadSettings(), description="Settings of projector and predictor.")
    objective: ObjectiveName = Field(default="ssl-hsic", description="Training objective.")
    loss: LossSettings = Field(default=LossSettings(), description="Settings of the SSL-HSIC loss.")
    rivals: RivalSettings = Field(default=RivalSettings(), description="Settings of the losses of other objectives.")
    target_decay: Probability = Field(
        default=0.99, description="Initial decay τ₀ of the target network's moving average; it rises to 1 on a cosine."
    )
    average_decay: float | None = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the zero-debiased moving average of the encoder's weights, which is evaluated and "
        "exported; null: no average.",
    )
    augmentation: AugmentationSettings = Field(default=AugmentationSettings(), description="Settings of the two views.")
    optimizer: OptimizerSettings = Field(default=OptimizerSettings(), description="Settings of the optimizer.")
    epochs: int = Field(default=1000, ge=1, description="Number of passes over the training pictures.")
    steps: int | None = Field(
        default=None, ge=1, description="Number of steps in place of `epochs`, for a trial of seconds; null: by epochs."
    )
    batch_size: int = Field(default=4096, ge=2, description="Number of pictures per step, over all processes.")
    micro_batch_size: int | None = Field(
        default=None,
        ge=2,
        description="Number of pictures that go through the networks at once in each process. The gradient stays that "
        "of the whole batch, at the cost of one more forward pass per step. null: all pictures at once.",
    )
    precision: PrecisionChoice = Field(
        default="auto",
        description="Precision of the networks' forward passes; weights and loss stay in float32. auto: bf16 if the "
        "device computes in it natively, else fp32.",
    )
    channels_last: bool = Field(
        default=True,
        description="If true, pictures and weights lie in memory with channels last; else with channels first.",
    )
    compile: bool = Field(
        default=False,
        description="If true, torch.compile compiles the networks and, on a GPU, the color augmentation.",
    )
    cuda_graphs: bool | Literal["auto"] = Field(
        default="auto",
        description="If true, each step is launched at once, as a CUDA graph; this takes one GPU, the SSL-HSIC loss "
        "and no micro-batches. auto: wherever that is so, but not with compile, fp16 or deterministic algorithms.",
    )
    workers: int = Field(
        default=2,
        ge=0,
        description="Number of processes that read pictures, for each training process; 0: the training process reads "
        "them itself.",
    )
    max_damaged: Probability = Field(
        default=0.01,
        description="Largest share of pictures that may be unreadable; each of them is replaced by another and listed.",
    )
    checkpoint_every: int = Field(default=1, ge=1, description="Number of epochs between checkpoints.")
    checkpoints_kept: int = Field(
        default=2, ge=1, description="Number of latest checkpoints that stay on disk; the best by k-NN stays, too."
    )
    trackers: list[str] = Field(
        default=["tensorboard"],
        description="Names of Accelerate's trackers, such as tensorboard or wandb; an empty list: none.",
    )
    monitor: MonitorSettings = Field(
        default=MonitorSettings(), description="Settings of logging, online evaluation and collapse detection."
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the initial weights, the order of the pictures, the views and the random features.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"micro_batch_size ({self.micro_batch_size}) must divide batch_size ({self.batch_size})")
        if self.init_parts == "all" and self.init_from is None:
            raise ValueError("init_parts is all, but init_from names no weights: set init_from, or init_parts=encoder")
        if self.optimizer.warmup_epochs > self.epochs:
            raise ValueError(
                f"optimizer.warmup_epochs ({self.optimizer.warmup_epochs}) must not exceed epochs ({self.epochs})"
            )
        if (stages := self.augmentation.progressive) and stages[-1][0] >= self.epochs:
            raise ValueError(
                f"augmentation.progressive ends at epoch {stages[-1][0]:g}, which must be before the run does "
                f"(epochs={self.epochs}): nothing would be learned at augmentation.size={self.augmentation.size}"
            )
        return self

    @property
    def peak_learning_rate(self) -> float:
        """The optimizer's learning rate at the end of the warm-up, for this batch size."""
        reference = self.optimizer.reference_batch
        return self.optimizer.learning_rate * (self.batch_size / reference if reference else 1.0)

    @property
    def encoder_preprocessing(self) -> Preprocessing:
        """The preprocessing stored with the encoder: the recipe's, or else the one derived from the views."""
        if self.preprocessing:
            return self.preprocessing
        views = self.augmentation
        return Preprocessing.for_size(views.size).model_copy(update={"mean": views.mean, "std": views.std})
