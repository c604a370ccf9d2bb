"""Segmentation on torchvision's networks: examples, loss, and the trained network as a function of a picture."""

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
from sslhsic_transfer.transfer.examples import (
    Example,
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    random_scale,
    resized_by,
    seeded,
    short_side_factor,
)
from sslhsic_transfer.transfer.settings import SegmentationSettings

_NETWORKS = {"fcn": fcn, "deeplabv3": deeplabv3}


class SegmentationTask:
    """How a segmentation network is built, fed and trained.

    Args:
        settings: of the fine-tune.
        preprocessing: of the encoder.
        classes: names.
    """

    def __init__(self, settings: SegmentationSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.classes = tuple(classes)

    def network(self, encoder: Encoder) -> nn.Module:
        """Torchvision's network over a copy of the encoder.

        Raises:
            ConfigError: a network that torchvision does not have.
        """
        s = self.settings
        options: dict[str, Any] = {"output_stride": s.output_stride, "freeze_at": s.freeze_at, "norm_eval": s.norm_eval}
        if s.network == "lraspp":
            return lraspp(encoder, len(self.classes), **options)
        if s.network not in _NETWORKS:
            raise ConfigError(f"torchvision has no {s.network}; expected network=fcn, deeplabv3 or lraspp.")
        return _NETWORKS[s.network](encoder, len(self.classes), **options)

    def examples(self, data: SegmentationData) -> "SegmentationExamples":
        """What is trained on."""
        return SegmentationExamples(data, self.settings, self.preprocessing)

    @staticmethod
    def collate(examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """A batch: (B, 3, H, W) pictures and (B, H, W) classes."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    @staticmethod
    def loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Mean cross-entropy of the pixels that count; 0 where none does."""
        images, classes = batch
        scores = network(images)["out"].float()
        total = F.cross_entropy(scores, classes, ignore_index=IGNORED, reduction="sum")
        return total / (classes != IGNORED).sum().clamp_min(1)

    def predictor(self, network: nn.Module) -> "SegmentationPredictor":
        """The trained network."""
        return SegmentationPredictor(network, self.preprocessing, self.settings.resize)


class SegmentationExamples(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and masks, scaled, cropped, flipped and coloured at random by the example's seed."""

    def __init__(self, data: SegmentationData, settings: SegmentationSettings, preprocessing: Preprocessing) -> None:
        self.data = data
        self.settings = settings
        self.transform = crop_flip_jitter(settings.crop, settings.color_jitter, preprocessing, IGNORED)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, Tensor]:
        """(3, H, W) picture and (H, W) int64 classes."""
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
        """One picture of any size."""
        scores = self.output(picture)["out"]
        return np.asarray(at_size_of(picture, scores).argmax(dim=1)[0].cpu(), dtype=np.uint8)
