"""Sections of a recipe: settings of views, heads, losses, optimizer and monitor."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, ChannelMean, ChannelStd

Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
Side = Annotated[int, Field(ge=32, le=1024)]


class Section(BaseModel):
    """Base class of settings: unknown keys are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Section):
    """Settings of the cache of decoded pictures."""

    cache: Literal["none", "ram", "device"] = Field(
        default="none",
        description="Place where decoded pictures are kept. none: nowhere, so that each picture is decoded again in "
        "every epoch; ram: this machine's memory; device: the memory of the training device. With ram and device, a "
        "GPU makes the crops, a batch at a time; on a CPU both are the same.",
    )
    side: Side | None = Field(
        default=None,
        description="Length in pixels to which the short side of larger pictures is reduced in the cache; null: the "
        "smallest that costs the views no detail.",
    )

    @model_validator(mode="after")
    def _side_is_of_a_cache(self) -> "DataSettings":
        if self.side is not None and self.cache == "none":
            raise ValueError(f"side is {self.side} without a cache: set cache to ram or device, or leave side out")
        return self


class ViewSettings(Section):
    """Operations that differ between the two views."""

    blur: Probability = Field(description="Probability of Gaussian blur.")
    solarize: Probability = Field(description="Probability of solarization at half intensity.")


class AugmentationSettings(Section):
    """Augmentations that make two views of a picture (BYOL, appendix B)."""

    style: Literal["torchvision", "byol-jax"] = Field(
        default="torchvision",
        description="Implementation of the operations. torchvision: torchvision's; byol-jax: as BYOL's JAX code, "
        "where brightness is added, contrast is about each channel's mean, saturation is HSV's, crop boxes are cut "
        "off at the border rather than drawn again, resizing is not antialiased and the blur sees a black border.",
    )
    size: Side = Field(default=224, description="Side of a view, in pixels.")
    progressive: tuple[tuple[float, Side], ...] = Field(
        default=(),
        description="Progressive resizing: pairs [epoch, size]. Views have that size in pixels up to that epoch, and "
        "`size` after the last pair. The blur keeps its width in pixels.",
    )
    crop_area: Range = Field(
        default=(0.08, 1.0), description="Smallest and largest share of a picture's area that a random crop covers."
    )
    crop_ratio: Range = Field(default=(3 / 4, 4 / 3), description="Smallest and largest aspect ratio of a random crop.")
    flip: Probability = Field(default=0.5, description="Probability of a horizontal flip.")
    jitter: Probability = Field(default=0.8, description="Probability of color jitter.")
    brightness: float = Field(default=0.4, ge=0, description="Strength of the brightness jitter; 0: none.")
    contrast: float = Field(default=0.4, ge=0, description="Strength of the contrast jitter; 0: none.")
    saturation: float = Field(default=0.2, ge=0, description="Strength of the saturation jitter; 0: none.")
    hue: float = Field(default=0.1, ge=0, le=0.5, description="Strength of the hue jitter; 0: none.")
    gray: Probability = Field(default=0.2, description="Probability of conversion to gray.")
    blur_taps: int = Field(
        default=23,
        ge=1,
        description="Width of the blur's kernel in pixels, an odd number; 23 goes with views of 224 pixels.",
    )
    blur_sigma: Range = Field(
        default=(0.1, 2.0), description="Smallest and largest standard deviation of the blur, in pixels."
    )
    view1: ViewSettings = Field(
        default=ViewSettings(blur=1.0, solarize=0.0), description="Operations of the first view."
    )
    view2: ViewSettings = Field(
        default=ViewSettings(blur=0.1, solarize=0.2), description="Operations of the second view."
    )
    mean: ChannelMean = IMAGENET_MEAN
    std: ChannelStd = IMAGENET_STD

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


class HeadSettings(Section):
    """Widths of projector and predictor, each Linear – BN – ReLU – Linear."""

    hidden_dim: int = Field(default=4096, ge=1, description="Width of the hidden layer.")
    embedding_dim: int = Field(default=256, ge=1, description="Width d of the embeddings that the loss takes.")


class LossSettings(Section):
    """Settings of the SSL-HSIC loss, see `sslhsic_transfer.hsic.SSLHSICLoss`."""

    gamma: float = Field(default=3.0, ge=0, description="Weight γ of the regularizer √HSIC(Z, Z).")
    kernel: str = Field(
        default="imq", description="Name of the kernel of the embeddings: imq, gaussian, laplace or linear."
    )
    estimator: Literal["auto", "exact", "features"] = Field(
        default="auto",
        description="Computation of the kernel means. exact: from all pairs, without noise; features: from random "
        "features, with noise, at a cost linear in the batch size; auto: whichever costs less.",
    )
    num_features: int = Field(default=512, ge=1, description="Number of random features in a draw.")
    draws: int = Field(default=1, ge=1, description="Number of pairs of draws whose estimates are averaged.")
    low_noise: bool = Field(
        default=True,
        description="If true, random features are drawn and used with less noise than the paper's, at the same cost.",
    )
    shared_draw: bool = Field(
        default=True,
        description="If true, all processes use the same draw of random features. If false, each computes the whole "
        "batch with its own draw and the results are averaged, as in the released code.",
    )
    regularizer: Literal["biased", "debiased"] = Field(
        default="biased",
        description="Estimator of HSIC(Z, Z). biased: the paper's; debiased: for batches below about 1,000.",
    )
    initial_scale: float = Field(
        default=1.0, gt=0, description="Kernel scale at the start; a smaller scale makes the kernel sharper."
    )
    learn_scale: bool = Field(default=True, description="If true, the kernel scale is learned.")
    scale_learning_rate: float = Field(default=3e-4, gt=0, description="Adam's learning rate for the kernel scale.")


class RivalSettings(Section):
    """Settings of the losses of other methods, for comparison."""

    temperature: float = Field(default=0.5, gt=0, description="SimCLR's temperature.")
    redundancy_weight: float = Field(
        default=5e-3, ge=0, description="Barlow Twins' λ, the weight of its redundancy term."
    )


class OptimizerSettings(Section):
    """Settings of the optimizer; its learning rate warms up linearly from 0, then decays to 0 along a cosine."""

    name: Literal["lars", "adamw", "sgd"] = Field(default="lars", description="Name of the optimizer.")
    learning_rate: float = Field(
        default=0.4, gt=0, description="Peak learning rate, for a batch of `reference_batch` pictures."
    )
    reference_batch: int | None = Field(
        default=256,
        ge=1,
        description="Batch size that `learning_rate` is for: the peak is multiplied by batch_size / reference_batch; "
        "null: the peak is `learning_rate` itself.",
    )
    weight_decay: float = Field(
        default=1e-6, ge=0, description="Weight decay; biases and normalization layers never decay."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of LARS and SGD.")
    trust_coefficient: float = Field(default=1e-3, gt=0, description="LARS's trust coefficient η.")
    warmup_epochs: float = Field(
        default=10,
        ge=0,
        description="Number of epochs over which the learning rate rises linearly to its peak; 0: no warm-up.",
    )


class MonitorSettings(Section):
    """Settings of the monitoring during training."""

    log_every: int = Field(
        default=10, ge=1, description="Number of steps between lines of metrics.jsonl and of the trackers."
    )
    evaluate_every: int = Field(
        default=1,
        ge=0,
        description="Number of epochs between online evaluations (k-NN, linear probe, RankMe); 0: no evaluation.",
    )
    images: int = Field(
        default=5000,
        ge=2,
        description="Largest number of pictures in the online evaluation's bank, and in its queries.",
    )
    knn_k: int = Field(default=20, ge=1, description="Number of nearest neighbors that vote in the online k-NN.")
    collapse_std: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Bound on embedding_std (1: an even spread, 0: complete collapse). The run stops when logged "
        "values stay below it.",
    )
    collapse_patience: int = Field(
        default=10,
        ge=0,
        description="Number of logged steps in a row with embedding_std below `collapse_std` after which the run "
        "stops; 0: it never stops for that.",
    )
