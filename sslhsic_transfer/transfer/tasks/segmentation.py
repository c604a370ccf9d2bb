"""Semantic segmentation: settings, networks, examples, loss, prediction, evaluation, drawing."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.torchvision import deeplabv3, fcn, lraspp
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.segmentation import IGNORED, SegmentationData, find_segmentation
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.metrics.confusion import Confusion
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.training.sampler import Example
from sslhsic_transfer.transfer.drawing import draw_classes
from sslhsic_transfer.transfer.settings import ColorJitter, Crop, ShortSide, TransferSettings
from sslhsic_transfer.transfer.tasks.augmentation import (
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    random_scale,
    resized_by,
    seeded,
    short_side_factor,
)
from sslhsic_transfer.transfer.tasks.task import Task, picture_indices

SegmentationFunction = Callable[[Image.Image], NDArray[np.uint8]]

_NETWORKS = {"fcn": fcn, "deeplabv3": deeplabv3}


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
    resize: ShortSide = None
    crop: Crop = (256, 256)
    scale: tuple[float, float] = Field(
        default=(0.5, 2.0), description="Smallest and largest factor of the random resizing before the crop."
    )
    color_jitter: ColorJitter = 0.4


class SegmentationTask(Task[SegmentationSettings, SegmentationData, SegmentationFunction]):
    """Semantic segmentation. The plain networks are torchvision's."""

    settings_class = SegmentationSettings
    recorded = ("mIoU", "pixel accuracy")
    unrecorded = Task.unrecorded | {"mask_values"}

    @classmethod
    def find(cls, folder: str | Path, split: str, settings: SegmentationSettings) -> SegmentationData:
        """Find a split of a data set, and check that its masks teach something."""
        return find_segmentation(folder, split, settings.layout, mask_values=settings.mask_values)

    def network(self, encoder: Encoder) -> nn.Module:
        """Build torchvision's network on top of a copy of the encoder.

        Raises:
            ConfigError: torchvision does not have the network.
        """
        s = self.settings
        options: dict[str, Any] = {"output_stride": s.output_stride, "freeze_at": s.freeze_at, "norm_eval": s.norm_eval}
        if s.network == "lraspp":
            return lraspp(encoder, len(self.classes), **options)
        if s.network not in _NETWORKS:
            raise ConfigError(f"torchvision has no {s.network}; expected network=fcn, deeplabv3 or lraspp.")
        return _NETWORKS[s.network](encoder, len(self.classes), **options)

    def examples(self, data: SegmentationData) -> "SegmentationExamples":
        """Return the training examples."""
        return SegmentationExamples(data, self.settings, self.preprocessing)

    def collate(self, examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return a batch: (B, 3, H, W) pictures and (B, H, W) classes."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the mean cross-entropy over the pixels that count; 0 if there are none."""
        images, classes = batch
        scores = network(images)["out"].float()
        total = F.cross_entropy(scores, classes, ignore_index=IGNORED, reduction="sum")
        return total / (classes != IGNORED).sum().clamp_min(1)

    def predictor(self, network: nn.Module) -> "SegmentationPredictor":
        """Return the prediction function of a trained network."""
        return SegmentationPredictor(network, self.preprocessing, self.settings.resize)

    @property
    def input_side(self) -> int | None:
        """Length to which the short side of pictures is resized before the network; None: they keep their size."""
        return self.settings.resize

    def evaluate(
        self, predict: SegmentationFunction, data: SegmentationData, *, progress: bool = False
    ) -> dict[str, float]:
        """Compute mIoU and its parts; see `evaluate_segmentation`."""
        return evaluate_segmentation(predict, data, progress=progress)

    def panels(self, predict: SegmentationFunction, data: SegmentationData, index: int) -> list[Image.Image]:
        """Return the picture, its mask and the predicted mask."""
        picture, count = load_image(data.pairs[index][0]), len(data.classes)
        return [picture, draw_classes(data.read_mask(index), count), draw_classes(predict(picture), count)]


class SegmentationExamples(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and masks with random scale, crop, flip and color jitter by the example's seed."""

    def __init__(self, data: SegmentationData, settings: SegmentationSettings, preprocessing: Preprocessing) -> None:
        self.data = data
        self.settings = settings
        self.transform = crop_flip_jitter(settings.crop, settings.color_jitter, preprocessing, IGNORED)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, Tensor]:
        """Return a (3, H, W) picture and its (H, W) int64 classes."""
        index, seed = example
        path = self.data.pairs[index][0]
        image, mask = T.pil_to_tensor(load_image(path)), torch.from_numpy(self.data.read_mask(index))
        if image.shape[-2:] != mask.shape:
            raise DataError(
                f"{path} has {image.shape[-1]} × {image.shape[-2]} pixels and its mask {mask.shape[1]} × "
                f"{mask.shape[0]}; expected the same."
            )
        with seeded(seed):
            factor = short_side_factor(image, self.settings.resize) * random_scale(*self.settings.scale)
            picture, target = resized_by(factor, tv_tensors.Image(image), tv_tensors.Mask(mask))
            picture, target = self.transform(picture, target)
        return picture.as_subclass(Tensor), target.as_subclass(Tensor).long()


class SegmentationPredictor(MapPredictor):
    """Torchvision's trained network as a function: picture -> (H, W) uint8 classes, at the picture's own size."""

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Predict the classes of one picture of any size."""
        scores = self.output(picture)["out"]
        return np.asarray(at_size_of(picture, scores).argmax(dim=1)[0].cpu(), dtype=np.uint8)


def evaluate_segmentation(
    predict: SegmentationFunction, data: SegmentationData, *, progress: bool = False
) -> dict[str, float]:
    """Compute mean intersection over union, pixel accuracy and each class's IoU, over all pixels that count.

    Args:
        predict: picture -> (H, W) classes.
        data: the split to measure on.
        progress: whether to show a progress bar.

    Returns:
        ``mIoU``, ``pixel accuracy`` and ``IoU CLASS``, as fractions. Classes that appear in no mask and no prediction
        are left out.

    Raises:
        DataError: every pixel is ignored.
    """
    confusion = Confusion(data.classes)
    for index in picture_indices(data, progress=progress):
        confusion.update(data.read_mask(index), predict(load_image(data.pairs[index][0])))
    shares = {f"IoU {name}": share for name, share in confusion.iou.items() if not math.isnan(share)}
    return {"mIoU": confusion.mean_iou, "pixel accuracy": confusion.accuracy} | shares
