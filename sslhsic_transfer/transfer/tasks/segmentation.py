"""Segmentation with torchvision's networks: examples, loss, and prediction with the trained network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.torchvision import deeplabv3, fcn, lraspp
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.segmentation import IGNORED, SegmentationData
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.transfer.settings import SegmentationSettings
from sslhsic_transfer.transfer.tasks.augmentation import (
    Example,
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    random_scale,
    resized_by,
    seeded,
    short_side_factor,
)

_NETWORKS = {"fcn": fcn, "deeplabv3": deeplabv3}


class SegmentationTask:
    """Construction, data and loss of a segmentation network.

    Args:
        settings: the settings of the fine-tuning.
        preprocessing: the encoder's preprocessing.
        classes: the names of the classes.
    """

    def __init__(self, settings: SegmentationSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.classes = tuple(classes)

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

    @staticmethod
    def collate(examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return a batch: (B, 3, H, W) pictures and (B, H, W) classes."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    @staticmethod
    def loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the mean cross-entropy over the pixels that count; 0 if there are none."""
        images, classes = batch
        scores = network(images)["out"].float()
        total = F.cross_entropy(scores, classes, ignore_index=IGNORED, reduction="sum")
        return total / (classes != IGNORED).sum().clamp_min(1)

    def predictor(self, network: nn.Module) -> "SegmentationPredictor":
        """Return the prediction function of a trained network."""
        return SegmentationPredictor(network, self.preprocessing, self.settings.resize)


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
