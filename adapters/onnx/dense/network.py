"""A dense network and what is known of it; its outputs under one name each, whoever made the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.adapters.onnx.dense.info import DenseOutput, Task
from sslhsic_transfer.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class DenseNetwork:
    """What can be exported, and what its file shall say of it.

    Attributes:
        network: for maps: (B, 3, H, W) normalised pictures -> (B, C, h, w), or a dict with them as ``"out"``: scores of
            classes, or metres. For detection, as torchvision's detectors: a list of (3, H, W) pictures on [0, 1] -> a
            list of dicts with ``"boxes"`` (N, 4), ``"scores"`` (N,), ``"labels"`` (N,) and, if it has them,
            ``"masks"`` (N, 1, H, W).
        task: what it does.
        framework: whose it is.
        architecture: its name there.
        name: what the model is called.
        preprocessing: of its encoder: mean and standard deviation are used.
        classes: names, in the order of their numbers.
        first_label: the network's number of the first class; torchvision's detectors keep 0 for the background.
        resize: short side that pictures are brought to before the network; None: they stay as they are.
        longest: most pixels that the long side gets by that.
    """

    network: nn.Module
    task: Task
    framework: str
    architecture: str
    name: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    first_label: int = 0
    resize: int | None = None
    longest: int | None = None


class MapOutputs(nn.Module):
    """Maps at the pictures' size, as a tuple.

    Args:
        network: as `DenseNetwork` describes it.
        outputs: ``"logits"`` or ``"depth"`` for what it gives, ``"classes"`` for the number of the largest of it.
        example: pictures, to see whether the network's maps are of their size.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[DenseOutput], example: Tensor) -> None:
        super().__init__()
        self.network, self.outputs = network, tuple(outputs)
        self.align_corners = bool(getattr(network, "align_corners", False))  # mmseg's choice
        with torch.no_grad():
            self.smaller = self._given(example).shape[-2:] != example.shape[-2:]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised pictures -> (B, C, H, W) float32, or (B, H, W) uint8 classes."""
        maps = self._given(images).float()
        if self.smaller:
            maps = F.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return tuple(maps.argmax(dim=1).to(torch.uint8) if name == "classes" else maps for name in self.outputs)

    def _given(self, images: Tensor) -> Tensor:
        given: Any = self.network(images)
        maps: Tensor = given["out"] if isinstance(given, Mapping) else given
        return maps


class DetectionOutputs(nn.Module):
    """What a detector finds in one picture, as a tuple.

    Args:
        detector: as `DenseNetwork` describes it.
        outputs: ``"boxes"``, ``"scores"``, ``"labels"``, ``"masks"``.
        preprocessing: how pictures are normalised, which is undone for the detector to do it its own way.
        first_label: what becomes label 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, detector: nn.Module, outputs: Sequence[DenseOutput], preprocessing: Preprocessing, first_label: int
    ) -> None:
        super().__init__()
        self.detector, self.outputs, self.first_label = detector, tuple(outputs), first_label
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) normalised -> (N, 4) corners, (N,) scores, (N,) int64 labels, (N, 1, …) masks."""
        (found,) = self.detector([images[0] * self.std + self.mean])
        found = {**found, "labels": found["labels"] - self.first_label}
        return tuple(found[name] for name in self.outputs)
