"""Depth estimation: examples, loss, and prediction with the trained network."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.depth import DepthModel
from sslhsic_transfer.adapters.depth.losses import berhu, gradient_matching, scale_invariant_log
from sslhsic_transfer.data.labelled.depth import DepthData
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.transfer.settings import DepthSettings
from sslhsic_transfer.transfer.tasks.augmentation import (
    Example,
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    resized_by,
    seeded,
    short_side_factor,
)

_GRADIENT_WEIGHT = 0.5


class DepthTask:
    """Construction, data and loss of a depth network.

    Args:
        settings: the settings of the fine-tuning.
        preprocessing: the encoder's preprocessing.
    """

    def __init__(self, settings: DepthSettings, preprocessing: Preprocessing) -> None:
        self.settings = settings
        self.preprocessing = preprocessing

    def network(self, encoder: Encoder) -> nn.Module:
        """Build a depth head on top of a copy of the encoder."""
        s = self.settings
        return DepthModel(encoder, s.network, cap=s.protocol.cap, freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: DepthData) -> "DepthExamples":
        """Return the training examples."""
        return DepthExamples(data, self.settings, self.preprocessing)

    @staticmethod
    def collate(examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return a batch: (B, 3, H, W) pictures and (B, 1, H, W) depth in meters."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the loss that the settings name, over pixels measured within the protocol's bounds."""
        images, depth = batch
        valid = (depth >= self.settings.protocol.least) & (depth <= self.settings.protocol.cap)
        predicted = network(images)
        if self.settings.loss == "berhu":
            return berhu(predicted, depth, valid)
        loss = scale_invariant_log(predicted, depth, valid)
        if self.settings.loss == "silog+gradient":
            loss = loss + _GRADIENT_WEIGHT * gradient_matching(predicted, depth, valid)
        return loss

    def predictor(self, network: nn.Module) -> "DepthPredictor":
        """Return the prediction function of a trained network."""
        return DepthPredictor(network, self.preprocessing, self.settings.resize)


class DepthExamples(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and depth with random crop, flip and color jitter by the example's seed."""

    def __init__(self, data: DepthData, settings: DepthSettings, preprocessing: Preprocessing) -> None:
        self.data = data
        self.settings = settings
        self.transform = crop_flip_jitter(settings.crop, settings.color_jitter, preprocessing, 0)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, Tensor]:
        """Return a (3, H, W) picture and its (1, H, W) depth in meters, 0 where nothing was measured."""
        index, seed = example
        image = T.pil_to_tensor(self.data.read_picture(index))
        depth = torch.from_numpy(self.data.read_depth(index))[None]
        if image.shape[-2:] != depth.shape[-2:]:
            raise DataError(
                f"{self.data.names[index]} has {image.shape[-1]} × {image.shape[-2]} pixels and its depth "
                f"{depth.shape[-1]} × {depth.shape[-2]}; expected the same."
            )
        with seeded(seed):
            factor = short_side_factor(image, self.settings.resize)
            picture, target = resized_by(factor, tv_tensors.Image(image), tv_tensors.Mask(depth))
            picture, target = self.transform(picture, target)
        return picture.as_subclass(Tensor), target.as_subclass(Tensor)


class DepthPredictor(MapPredictor):
    """A trained `DepthModel` as a function: picture -> (H, W) float32 meters, at the picture's own size."""

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        """Predict the depth of one picture of any size."""
        return np.asarray(at_size_of(picture, self.output(picture))[0, 0].cpu(), dtype=np.float32)
