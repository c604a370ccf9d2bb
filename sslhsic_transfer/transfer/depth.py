"""Depth: examples, loss, and the trained network as a function of a picture."""

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
from sslhsic_transfer.transfer.examples import (
    Example,
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    resized_by,
    seeded,
    short_side_factor,
)
from sslhsic_transfer.transfer.settings import DepthSettings

_GRADIENT_WEIGHT = 0.5


class DepthTask:
    """How a depth network is built, fed and trained.

    Args:
        settings: of the fine-tune.
        preprocessing: of the encoder.
    """

    def __init__(self, settings: DepthSettings, preprocessing: Preprocessing) -> None:
        self.settings = settings
        self.preprocessing = preprocessing

    def network(self, encoder: Encoder) -> nn.Module:
        """A depth head over a copy of the encoder."""
        s = self.settings
        return DepthModel(encoder, s.network, cap=s.protocol.cap, freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: DepthData) -> "DepthExamples":
        """What is trained on."""
        return DepthExamples(data, self.settings, self.preprocessing)

    @staticmethod
    def collate(examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """A batch: (B, 3, H, W) pictures and (B, 1, H, W) metres."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """The loss of the settings, over pixels that were measured within the protocol's bounds."""
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
        """The trained network."""
        return DepthPredictor(network, self.preprocessing, self.settings.resize)


class DepthExamples(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and depth, cropped, flipped and coloured at random by the example's seed."""

    def __init__(self, data: DepthData, settings: DepthSettings, preprocessing: Preprocessing) -> None:
        self.data = data
        self.settings = settings
        self.transform = crop_flip_jitter(settings.crop, settings.color_jitter, preprocessing, 0)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, Tensor]:
        """(3, H, W) picture and (1, H, W) metres, 0 where nothing was measured."""
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
    """A trained `DepthModel` as a function: picture -> (H, W) float32 metres, at the picture's own size."""

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        """One picture of any size."""
        return np.asarray(at_size_of(picture, self.output(picture))[0, 0].cpu(), dtype=np.float32)
