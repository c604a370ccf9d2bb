"""Settings of fine-tuning, for each task."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer._precision import PrecisionChoice
from sslhsic_transfer.metrics.depth import DepthProtocol

Task = Literal["classification", "segmentation", "detection", "depth"]
Size = tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]]


class TransferSettings(BaseModel):
    """Settings shared by all tasks. The learning rate warms up linearly and then follows `schedule`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: str = Field(default="train", min_length=1, description="Split to train on.")
    test: str = Field(
        default="val", min_length=1, description="Split to measure on; a test split only once all is chosen."
    )
    layout: str = Field(default="auto", description="Layout of the data's folder; auto: recognised.")
    iterations: int = Field(default=2000, ge=1, description="Steps of the optimiser.")
    batch_size: int = Field(default=8, ge=1, description="Pictures a step, over all processes.")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="Which optimiser.")
    learning_rate: float = Field(default=5e-4, gt=0, description="At the end of the warm-up.")
    weight_decay: float = Field(default=1e-4, ge=0, description="Never on biases and normalisation.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of SGD.")
    nesterov: bool = Field(default=False, description="Whether SGD's momentum is Nesterov's.")
    warmup: int = Field(default=50, ge=0, description="Steps of linear warm-up.")
    schedule: Literal["cosine", "poly", "steps"] = Field(
        default="cosine", description="To 0 on a cosine or as (1 − t)^0.9; or a tenth at 70 % and at 90 %."
    )
    clip_gradient: float = Field(default=0.0, ge=0, description="Largest norm of the gradient; 0: not clipped.")
    freeze_at: int = Field(
        default=0, ge=0, le=5, description="Parts that do not train: 1: the stem, 2: stem and c2, … 5: all."
    )
    norm_eval: bool = Field(default=False, description="Whether the encoder's batch statistics stay fixed.")
    precision: PrecisionChoice = Field(
        default="fp32", description="Of the forward passes; auto: bf16 where the device computes in it, else fp32."
    )
    seed: int = Field(default=0, ge=0, description="Of the head's weights, the order and the augmentation.")
    workers: int = Field(default=2, ge=0, description="Processes that read pictures.")
    log_every: int = Field(default=20, ge=1, description="Steps between lines of metrics.jsonl.")
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _warmup_fits(self) -> "TransferSettings":
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup is {self.warmup}; expected fewer than iterations, {self.iterations}: set it too")
        return self


class ClassificationSettings(TransferSettings):
    """Settings for classification of whole pictures."""

    network: Literal["linear"] = Field(default="linear", description="The head: a linear layer.")
    label_share: float = Field(
        default=1.0, gt=0, le=1, description="Share of each class's training pictures that is used, drawn by the seed."
    )
    label_list: str | None = Field(
        default=None, description="File that names the training pictures that are used, one a line; null: no such."
    )
    size: int | None = Field(default=None, ge=32, description="Side of the crops; null: that of the named model.")
    crop_area: tuple[float, float] = Field(default=(0.2, 1.0), description="Share of a picture that is trained on.")
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of a mirror image.")
    color_jitter: float = Field(default=0.0, ge=0, le=1, description="Strength of brightness, contrast, saturation.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of the target that all classes divide.")
    batch_size: int = Field(default=64, ge=1, description="Pictures a step, over all processes.")

    @model_validator(mode="after")
    def _labels_are_chosen_once(self) -> "ClassificationSettings":
        if self.label_list is not None and self.label_share < 1:
            raise ValueError(f"label_share is {self.label_share} beside a label_list; expected one of the two")
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area is {list(self.crop_area)}; expected [least, most] between 0 and 1")
        return self


class SegmentationSettings(TransferSettings):
    """Settings for semantic segmentation."""

    network: Literal["fcn", "deeplabv3", "lraspp", "deeplabv3plus", "upernet"] = Field(
        default="fcn", description="torchvision: fcn, deeplabv3, lraspp; mmseg: fcn, deeplabv3plus, upernet."
    )
    output_stride: Literal[8, 16, 32] = Field(default=16, description="Of the last map, by dilation.")
    mask_values: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None,
        description="Number of each class in the masks, such as [0,255]; all others are ignored. null: as the layout "
        "has it.",
    )
    resize: int | None = Field(
        default=None, ge=32, description="Short side that pictures are brought to first; null: left as they are."
    )
    crop: Size = Field(default=(256, 256), description="Height and width of the crops that are trained on.")
    scale: tuple[float, float] = Field(default=(0.5, 2.0), description="Range of random enlargement before the crop.")
    color_jitter: float = Field(default=0.4, ge=0, le=1, description="Strength of brightness, contrast, saturation.")


class DetectionSettings(TransferSettings):
    """Settings for detection of objects as boxes."""

    network: Literal["faster_rcnn", "retinanet", "faster_rcnn_c4"] = Field(
        default="faster_rcnn",
        description="With a feature pyramid: faster_rcnn, retinanet; Detectron2 alone: faster_rcnn_c4.",
    )
    sides: tuple[int, ...] = Field(default=(320,), min_length=1, description="Short sides to train at, one at random.")
    test_side: int | None = Field(
        default=None, ge=32, description="Short side at the test; null: the largest of sides."
    )
    longest_side: int = Field(default=640, ge=32, description="Pictures are never larger.")
    proposals: int = Field(default=1000, ge=1, description="Regions a picture that Faster R-CNN looks at in a test.")
    sampled_regions: int = Field(
        default=512, ge=1, description="Regions a picture that Faster R-CNN's head learns from."
    )
    batch_size: int = Field(default=4, ge=1, description="Pictures a step, over all processes.")
    learning_rate: float = Field(default=2e-4, gt=0, description="At the end of the warm-up.")
    clip_gradient: float = Field(default=10.0, ge=0, description="Largest norm of the gradient; 0: not clipped.")


class DepthSettings(TransferSettings):
    """Settings for depth estimation from one picture."""

    network: Literal["upproj", "dpt"] = Field(default="dpt", description="The head: Laina et al.'s, or multi-scale.")
    loss: Literal["berhu", "silog", "silog+gradient"] = Field(
        default="silog+gradient", description="What is minimised."
    )
    units_per_metre: float = Field(default=1000.0, gt=0, description="Of the depth files, where they are plain PNG.")
    resize: int | None = Field(default=None, ge=32, description="Short side that pictures are brought to first.")
    crop: Size = Field(default=(192, 256), description="Height and width of the crops that are trained on.")
    color_jitter: float = Field(default=0.2, ge=0, le=1, description="Strength of brightness, contrast, saturation.")
    protocol: DepthProtocol = Field(default=DepthProtocol(), description="Every choice that moves the figures.")


SETTINGS: dict[Task, type[TransferSettings]] = {
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
    "detection": DetectionSettings,
    "depth": DepthSettings,
}
