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
    batch_size: int = Field(default=8, ge=1, description="Number of pictures per step, over all processes.")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="Name of the optimizer.")
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Peak learning rate, reached at the end of the warm-up."
    )
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
    clip_gradient: float = Field(
        default=0.0, ge=0, description="Largest norm of the gradient, to which larger ones are clipped; 0: no clipping."
    )
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


class ClassificationSettings(TransferSettings):
    """Settings for classification of whole pictures."""

    network: Literal["linear"] = Field(
        default="linear", description="Head on top of the encoder; linear: one linear layer."
    )
    label_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of each class's training pictures that is used, drawn by the seed; 1: all.",
    )
    label_list: str | None = Field(
        default=None,
        description="File with the names of the training pictures that are used, one per line; null: all pictures.",
    )
    size: int | None = Field(
        default=None,
        ge=32,
        description="Side of the crops in pixels; null: the crop size of the model's preprocessing.",
    )
    crop_area: tuple[float, float] = Field(
        default=(0.2, 1.0),
        description="Smallest and largest share of a picture's area that a random training crop covers.",
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    color_jitter: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Strength of the random changes of brightness, contrast and saturation; 0: none.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the target probability that is spread evenly over all classes; 0: none.",
    )
    batch_size: int = Field(default=64, ge=1, description="Number of pictures per step, over all processes.")

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
        default="fcn",
        description="Network on top of the encoder. With torchvision: fcn, deeplabv3 or lraspp; with mmseg: fcn, "
        "deeplabv3plus or upernet.",
    )
    output_stride: Literal[8, 16, 32] = Field(
        default=16,
        description="Stride of the encoder's last feature map, in input pixels; 8 and 16 replace strides by dilation.",
    )
    mask_values: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None,
        description="Pixel value of each class in the masks, in the order of the classes, such as [0,255]; pixels "
        "with other values are ignored. null: the values of the layout.",
    )
    resize: int | None = Field(
        default=None,
        ge=32,
        description="Length in pixels to which the short side of pictures is resized first; null: pictures keep their "
        "size.",
    )
    crop: Size = Field(default=(256, 256), description="Height and width of the training crops, in pixels.")
    scale: tuple[float, float] = Field(
        default=(0.5, 2.0), description="Smallest and largest factor of the random resizing before the crop."
    )
    color_jitter: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Strength of the random changes of brightness, contrast and saturation; 0: none.",
    )


class DetectionSettings(TransferSettings):
    """Settings for detection of objects as boxes."""

    network: Literal["faster_rcnn", "retinanet", "faster_rcnn_c4"] = Field(
        default="faster_rcnn",
        description="Detector on top of the encoder. faster_rcnn and retinanet have a feature pyramid; faster_rcnn_c4 "
        "has none and needs Detectron2.",
    )
    sides: tuple[int, ...] = Field(
        default=(320,),
        min_length=1,
        description="Lengths in pixels for the short side of training pictures; each picture gets one of them at "
        "random.",
    )
    test_side: int | None = Field(
        default=None,
        ge=32,
        description="Length in pixels of the short side of test pictures; null: the largest of `sides`.",
    )
    longest_side: int = Field(
        default=640, ge=32, description="Upper limit of a resized picture's long side, in pixels."
    )
    proposals: int = Field(
        default=1000,
        ge=1,
        description="Number of proposed regions per picture that Faster R-CNN classifies at test time.",
    )
    sampled_regions: int = Field(
        default=512, ge=1, description="Number of regions per picture that train Faster R-CNN's head in each step."
    )
    batch_size: int = Field(default=4, ge=1, description="Number of pictures per step, over all processes.")
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Peak learning rate, reached at the end of the warm-up."
    )
    clip_gradient: float = Field(
        default=10.0,
        ge=0,
        description="Largest norm of the gradient, to which larger ones are clipped; 0: no clipping.",
    )


class DepthSettings(TransferSettings):
    """Settings for depth estimation from one picture."""

    network: Literal["upproj", "dpt"] = Field(
        default="dpt",
        description="Head on top of the encoder. upproj: the decoder of Laina et al.; dpt: a multi-scale head.",
    )
    loss: Literal["berhu", "silog", "silog+gradient"] = Field(
        default="silog+gradient",
        description="Training loss. berhu: reverse Huber; silog: scale-invariant logarithmic error; silog+gradient: "
        "with a term that matches gradients.",
    )
    units_per_metre: float = Field(
        default=1000.0,
        gt=0,
        description="Number of units per meter in the PNG depth files of layout lists; 1000: millimeters.",
    )
    resize: int | None = Field(
        default=None,
        ge=32,
        description="Length in pixels to which the short side of pictures is resized first; null: pictures keep their "
        "size.",
    )
    crop: Size = Field(default=(192, 256), description="Height and width of the training crops, in pixels.")
    color_jitter: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Strength of the random changes of brightness, contrast and saturation; 0: none.",
    )
    protocol: DepthProtocol = Field(
        default=DepthProtocol(), description="Choices of the evaluation that affect its metrics."
    )


SETTINGS: dict[Task, type[TransferSettings]] = {
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
    "detection": DetectionSettings,
    "depth": DepthSettings,
}
