"""Depth from one picture: settings, networks, examples, loss, prediction, evaluation, drawing."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.depth import DepthModel
from sslhsic_transfer.adapters.depth.losses import berhu, gradient_matching, scale_invariant_log
from sslhsic_transfer.data.labelled.depth import DepthData, find_depth
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.metrics.depth import DepthMetrics, DepthProtocol
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.training.sampler import Example
from sslhsic_transfer.transfer.drawing import draw_depth
from sslhsic_transfer.transfer.settings import ColorJitter, Crop, ShortSide, TransferSettings
from sslhsic_transfer.transfer.tasks.augmentation import (
    MapPredictor,
    at_size_of,
    crop_flip_jitter,
    resized_by,
    seeded,
    short_side_factor,
)
from sslhsic_transfer.transfer.tasks.task import Task, picture_indices

DepthFunction = Callable[[Image.Image], NDArray[np.float32]]

_GRADIENT_WEIGHT = 0.5


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
    units_per_meter: float = Field(
        default=1000.0,
        gt=0,
        description="Number of units per meter in the PNG depth files of layout lists; 1000: millimeters.",
    )
    resize: ShortSide = None
    crop: Crop = (192, 256)
    color_jitter: ColorJitter = 0.2
    protocol: DepthProtocol = Field(
        default=DepthProtocol(), description="Choices of the evaluation that affect its metrics."
    )

    @model_validator(mode="before")
    @classmethod
    def _former_name(cls, values: dict[str, object]) -> dict[str, object]:
        """Read files of earlier versions, in which units_per_meter was spelled otherwise."""
        former = "units_per_metre"
        return {"units_per_meter" if key == former else key: value for key, value in values.items()}


class DepthTask(Task[DepthSettings, DepthData, DepthFunction]):
    """Estimation of depth from one picture, by the heads of `sslhsic_transfer.adapters.depth`."""

    settings_class = DepthSettings
    recorded = ("abs_rel", "rmse", "delta1")
    unrecorded = Task.unrecorded | {"protocol"}

    @classmethod
    def find(cls, folder: str | Path, split: str, settings: DepthSettings) -> DepthData:
        """Find a split of a data set, and check that depth was measured within the protocol's bounds."""
        data = find_depth(folder, split, settings.layout, units_per_meter=settings.units_per_meter)
        data.require_depth(settings.protocol.least, settings.protocol.cap)
        return data

    def network(self, encoder: Encoder) -> nn.Module:
        """Build a depth head on top of a copy of the encoder."""
        s = self.settings
        return DepthModel(encoder, s.network, cap=s.protocol.cap, freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: DepthData) -> "DepthExamples":
        """Return the training examples."""
        return DepthExamples(data, self.settings, self.preprocessing)

    def collate(self, examples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
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

    @property
    def input_side(self) -> int | None:
        """Length to which the short side of pictures is resized before the network; None: they keep their size."""
        return self.settings.resize

    def measured_by(self) -> str:
        """Describe the protocol of the evaluation."""
        return self.settings.protocol.describe()

    def evaluate(self, predict: DepthFunction, data: DepthData, *, progress: bool = False) -> dict[str, float]:
        """Compute the errors of depth; see `evaluate_depth`."""
        return evaluate_depth(predict, data, self.settings.protocol, progress=progress)

    def panels(self, predict: DepthFunction, data: DepthData, index: int) -> list[Image.Image]:
        """Return the picture, its depth and the predicted depth, in the same colors."""
        picture, truth = data.read_picture(index), data.read_depth(index)
        predicted = predict(picture)
        known = truth[truth > 0] if (truth > 0).any() else predicted  # the example may lack measurements
        nearest, farthest = (float(value) for value in np.quantile(known, (0.02, 0.98)))
        return [picture, *(draw_depth(depth, nearest, farthest) for depth in (truth, predicted))]


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


def evaluate_depth(
    predict: DepthFunction, data: DepthData, protocol: DepthProtocol, *, progress: bool = False
) -> dict[str, float]:
    """Compute the metrics of `DepthMetrics`.

    Args:
        predict: picture -> (H, W) depth in meters.
        data: the split to measure on.
        protocol: every choice that affects the metrics.
        progress: whether to show a progress bar.

    Raises:
        DataError: no pixel counts.
    """
    metrics = DepthMetrics(protocol)
    for index in picture_indices(data, progress=progress):
        depth = torch.from_numpy(data.read_depth(index))[None, None]
        metrics.update(torch.from_numpy(predict(data.read_picture(index)))[None, None], depth, depth > 0)
    if not metrics.pictures:
        raise DataError(
            f"No pixel of {data.split} of {data.name} has a depth within the protocol's bounds and crop: "
            f"{protocol.describe()}."
        )
    return metrics.compute()
