"""The recipe of a pretraining run: every number that shapes it, validated as a whole, saved with the result.

Defaults are those of the paper and of its released code; the recipes that ship (``recipes/*.yaml``) name what differs.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer._precision import PrecisionChoice
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Triple
from sslhsic_transfer.pretrain.objectives import ObjectiveName

Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
Side = Annotated[int, Field(ge=32, le=1024)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(_Section):
    """The memory of decoded pictures."""

    cache: Literal["none", "ram", "device"] = Field(
        default="none",
        description="Where decoded pictures are kept: nowhere, so that each is decoded anew in every epoch; in this "
        "machine's memory; or in that of the device that trains. On a GPU both make crops there, a batch at a time; on "
        "a CPU both are the same.",
    )
    side: Side | None = Field(
        default=None,
        description="Short side in pixels at which larger pictures are kept; null: the smallest that costs the views "
        "no detail.",
    )

    @model_validator(mode="after")
    def _side_is_of_a_cache(self) -> "DataSettings":
        if self.side is not None and self.cache == "none":
            raise ValueError(f"side is {self.side} without a cache: set cache to ram or device, or leave side out")
        return self


class ViewSettings(_Section):
    """Operations that differ between the two views."""

    blur: Probability = Field(description="Probability of Gaussian blur.")
    solarize: Probability = Field(description="Probability of solarising at half intensity.")


class AugmentationSettings(_Section):
    """How two views are made of a picture (BYOL, appendix B)."""

    style: Literal["torchvision", "byol-jax"] = Field(
        default="torchvision",
        description="Whose operations: torchvision's, or those of BYOL's JAX code, where brightness is added, contrast "
        "is about each channel's mean, saturation is HSV's, boxes are cut off at the border rather than drawn again, "
        "resizing is not antialiased and blur sees a black border.",
    )
    size: Side = Field(default=224, description="Side of a view, in pixels.")
    progressive: tuple[tuple[float, Side], ...] = Field(
        default=(),
        description="Progressive resizing: pairs [epoch, size], views having that size up to that epoch, and after the "
        "last one `size`. The blur stays as it is, in pixels.",
    )
    crop_area: Range = Field(default=(0.08, 1.0), description="Range of the crop's share of the picture's area.")
    crop_ratio: Range = Field(default=(3 / 4, 4 / 3), description="Range of the crop's aspect ratio.")
    flip: Probability = Field(default=0.5, description="Probability of a horizontal flip.")
    jitter: Probability = Field(default=0.8, description="Probability of colour jitter.")
    brightness: float = Field(default=0.4, ge=0, description="Strength of the brightness jitter.")
    contrast: float = Field(default=0.4, ge=0, description="Strength of the contrast jitter.")
    saturation: float = Field(default=0.2, ge=0, description="Strength of the saturation jitter.")
    hue: float = Field(default=0.1, ge=0, le=0.5, description="Strength of the hue jitter.")
    gray: Probability = Field(default=0.2, description="Probability of dropping colour.")
    blur_taps: int = Field(default=23, ge=1, description="Taps of the blur's kernel, odd; 23 at 224 pixels.")
    blur_sigma: Range = Field(default=(0.1, 2.0), description="Range of the blur's standard deviation, in pixels.")
    view1: ViewSettings = Field(default=ViewSettings(blur=1.0, solarize=0.0), description="First view.")
    view2: ViewSettings = Field(default=ViewSettings(blur=0.1, solarize=0.2), description="Second view.")
    mean: Triple = Field(default=IMAGENET_MEAN, description="Mean of each channel, subtracted.")
    std: Triple = Field(default=IMAGENET_STD, description="Standard deviation of each channel, divided by.")

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentationSettings":
        for name in ("crop_area", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a range 0 < low ≤ high, got [{low}, {high}]")
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area must not exceed 1, got {self.crop_area[1]}")
        if self.blur_taps % 2 == 0:
            raise ValueError(f"blur_taps must be odd, got {self.blur_taps}")
        epochs = [0.0, *(epoch for epoch, _ in self.progressive)]
        if any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"progressive must name epochs above 0 in rising order, got {epochs[1:]}")
        return self


class HeadSettings(_Section):
    """Projector and predictor: Linear – BN – ReLU – Linear."""

    hidden_dim: int = Field(default=4096, ge=1, description="Width of the hidden layer.")
    embedding_dim: int = Field(default=256, ge=1, description="d, width of the embeddings that the loss sees.")


class LossSettings(_Section):
    """The SSL-HSIC loss, see `sslhsic_transfer.hsic.SSLHSICLoss`."""

    gamma: float = Field(default=3.0, ge=0, description="Weight of √HSIC(Z, Z).")
    kernel: str = Field(default="imq", description="Kernel of the embeddings.")
    estimator: Literal["auto", "exact", "features"] = Field(
        default="auto",
        description="Whether the kernel values of all pairs are computed, which has no noise, or random features stand "
        "for them, which is linear in the batch; auto: whichever costs less.",
    )
    num_features: int = Field(default=512, ge=1, description="Random features of a draw.")
    draws: int = Field(default=1, ge=1, description="Pairs of draws whose estimates are averaged.")
    low_noise: bool = Field(
        default=True,
        description="Whether random features are drawn and used with less noise than the paper's, for the same cost.",
    )
    shared_draw: bool = Field(
        default=True,
        description="Whether all processes use the same draw; false: each computes the whole batch by its own, and the "
        "mean over them counts, as in the released code.",
    )
    regularizer: Literal["biased", "debiased"] = Field(
        default="biased", description="'biased' is the paper's; 'debiased' suits batches below about 1,000."
    )
    initial_scale: float = Field(default=1.0, gt=0, description="Kernel scale at the start; smaller is sharper.")
    learn_scale: bool = Field(default=True, description="Whether the kernel scale is learned.")
    scale_learning_rate: float = Field(default=3e-4, gt=0, description="Adam's learning rate for the kernel scale.")


class RivalSettings(_Section):
    """Losses of other methods, for comparison."""

    temperature: float = Field(default=0.5, gt=0, description="SimCLR's temperature.")
    redundancy_weight: float = Field(default=5e-3, ge=0, description="Barlow Twins' λ.")


class OptimizerSettings(_Section):
    """The optimiser of the networks; its learning rate warms up linearly from 0 and falls to 0 on a cosine."""

    name: Literal["lars", "adamw", "sgd"] = Field(default="lars", description="Which optimiser.")
    learning_rate: float = Field(default=0.4, gt=0, description="Peak learning rate, for a batch of `reference_batch`.")
    reference_batch: int | None = Field(
        default=256,
        ge=1,
        description="The peak is multiplied by batch_size / reference_batch; null: taken as it is.",
    )
    weight_decay: float = Field(default=1e-6, ge=0, description="Weight decay; never on biases and normalisation.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of LARS and SGD.")
    trust_coefficient: float = Field(default=1e-3, gt=0, description="LARS's trust coefficient η.")
    warmup_epochs: float = Field(default=10, ge=0, description="Epochs of linear warm-up.")


class MonitorSettings(_Section):
    """What is watched during training."""

    log_every: int = Field(default=10, ge=1, description="Steps between lines of metrics.jsonl and of the trackers.")
    evaluate_every: int = Field(
        default=1, ge=0, description="Epochs between online evaluations: k-NN, linear probe, RankMe; 0: none."
    )
    images: int = Field(
        default=5000, ge=2, description="At most so many pictures in the online evaluation's bank and queries each."
    )
    knn_k: int = Field(default=20, ge=1, description="Neighbours that vote.")
    collapse_std: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="The run stops when embedding_std (1: an even spread, 0: complete collapse) stays below this.",
    )
    collapse_patience: int = Field(
        default=10, ge=0, description="For so many logged steps in a row; 0: it never stops for that."
    )


class Recipe(_Section):
    """Everything that shapes a run, but for the data and the place of the output."""

    data: DataSettings = Field(default=DataSettings(), description="The pictures.")
    encoder: EncoderConfig = Field(default=EncoderConfig(architecture="resnet50"), description="The network.")
    init_from: str | None = Field(
        default=None,
        description="Weights to start from: a model folder or name, or torchvision/NAME such as "
        "torchvision/IMAGENET1K_V1; null: random ones.",
    )
    init_parts: Literal["encoder", "all"] = Field(
        default="encoder",
        description="What of init_from is taken: the encoder, averaged where it was, or all, as training left it: "
        "projector, predictor, target network, kernel scale and average, too, of a run's checkpoint or a folder of "
        "`sslhsic convert … --with-heads`.",
    )
    zero_init_residual: bool = Field(
        default=True, description="Start the last normalisation of a ResNet's blocks at zero."
    )
    preprocessing: Preprocessing | None = Field(
        default=None,
        description="Preprocessing stored with the encoder; null: the centre 7/8 at the size of the views.",
    )
    head: HeadSettings = Field(default=HeadSettings(), description="Projector and predictor.")
    objective: ObjectiveName = Field(default="ssl-hsic", description="What is optimised.")
    loss: LossSettings = Field(default=LossSettings(), description="The SSL-HSIC loss.")
    rivals: RivalSettings = Field(default=RivalSettings(), description="The losses of other objectives.")
    target_decay: Probability = Field(
        default=0.99, description="Decay τ₀ of the target network's weights, rising to 1 on a cosine."
    )
    average_decay: float | None = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Zero-debiased average of the weights, evaluated and exported; null: none.",
    )
    augmentation: AugmentationSettings = Field(default=AugmentationSettings(), description="The views.")
    optimizer: OptimizerSettings = Field(default=OptimizerSettings(), description="The optimiser.")
    epochs: int = Field(default=1000, ge=1, description="Passes over the pictures.")
    batch_size: int = Field(default=4096, ge=2, description="Pictures of a step, over all processes.")
    micro_batch_size: int | None = Field(
        default=None,
        ge=2,
        description="Pictures that go through the networks at once in each process, the gradient staying that of the "
        "whole batch, at the cost of one more forward pass a step; null: all.",
    )
    precision: PrecisionChoice = Field(
        default="auto",
        description="Precision of the networks' forward passes; weights and loss stay in float32. auto: bf16 where the "
        "device computes in it, else fp32.",
    )
    channels_last: bool = Field(default=True, description="Memory layout of pictures and weights.")
    compile: bool = Field(
        default=False,
        description="Whether torch.compile makes the networks' kernels, and on a GPU those of the colours.",
    )
    cuda_graphs: bool | Literal["auto"] = Field(
        default="auto",
        description="Whether the kernels of a step are launched at once, as a CUDA graph, which takes one GPU, the "
        "SSL-HSIC loss and no micro-batches; auto: where that is so, without compile, fp16 and deterministic "
        "algorithms.",
    )
    workers: int = Field(default=2, ge=0, description="Processes that read pictures, for each training process.")
    max_damaged: Probability = Field(
        default=0.01, description="Share of pictures that may be unreadable: each is replaced by another and listed."
    )
    checkpoint_every: int = Field(default=1, ge=1, description="Epochs between checkpoints.")
    checkpoints_kept: int = Field(
        default=2, ge=1, description="Latest checkpoints that stay on disk, with the best by k-NN."
    )
    trackers: list[str] = Field(default=["tensorboard"], description="Accelerate's trackers, by name.")
    monitor: MonitorSettings = Field(default=MonitorSettings(), description="Online evaluation.")
    seed: int = Field(default=0, ge=0, description="Seed of weights, order of pictures, views and random features.")

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
        """The optimiser's learning rate at the end of the warm-up, for this batch size."""
        reference = self.optimizer.reference_batch
        return self.optimizer.learning_rate * (self.batch_size / reference if reference else 1.0)

    @property
    def encoder_preprocessing(self) -> Preprocessing:
        """What is stored with the encoder: the recipe's, or one that follows from the views."""
        if self.preprocessing:
            return self.preprocessing
        views = self.augmentation
        return Preprocessing.for_size(views.size).model_copy(update={"mean": views.mean, "std": views.std})
