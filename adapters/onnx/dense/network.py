"""Dense networks with the facts that their files need, and wrappers that unify their outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.adapters.onnx.dense.info import DenseOutput, DenseTask
from sslhsic_transfer.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class DenseNetwork:
    """A network that can be exported, and the metadata of its file.

    Attributes:
        network: for maps, a function from normalized pictures (B, 3, H, W) to (B, C, h, w), or to a dict with them as
            ``"out"``: scores of classes, or meters. For detection, a function like torchvision's detectors, from a list
            of pictures (3, H, W) on [0, 1] to a list of dicts with ``"boxes"`` (N, 4), ``"scores"`` (N,), ``"labels"``
            (N,) and, if it has them, ``"masks"`` (N, 1, H, W).
        task: the task that it solves.
        framework: the framework that it comes from.
        architecture: its name in that framework.
        name: name of the model.
        preprocessing: the preprocessing of its encoder, of which mean and standard deviation are used.
        classes: names of the classes, in the order of their numbers.
        first_label: the network's number of the first class; torchvision's detectors reserve 0 for the background.
        resize: short side to which pictures are resized before the network; None: they are not resized.
        longest: largest length of the long side after that.
    """

    network: nn.Module
    task: DenseTask
    framework: str
    architecture: str
    name: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    first_label: int = 0
    resize: int | None = None
    longest: int | None = None


class MapOutputs(nn.Module):
    """Wrapper that returns a network's maps at the pictures' size, as a tuple.

    Args:
        network: as `DenseNetwork` describes it.
        outputs: ``"logits"`` or ``"depth"`` for its maps, ``"classes"`` for the index of the largest score.
        example: pictures, to find out if the network's maps are smaller than they are.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[DenseOutput], example: Tensor) -> None:
        super().__init__()
        self.network, self.outputs = network, tuple(outputs)
        self.align_corners = bool(getattr(network, "align_corners", False))  # set by mmseg's heads
        with torch.no_grad():
            self.smaller = self._given(example).shape[-2:] != example.shape[-2:]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalized pictures (B, 3, H, W) to (B, C, H, W) float32, or to classes (B, H, W) uint8."""
        maps = self._given(images).float()
        if self.smaller:
            maps = F.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return tuple(maps.argmax(dim=1).to(torch.uint8) if name == "classes" else maps for name in self.outputs)

    def _given(self, images: Tensor) -> Tensor:
        given: Any = self.network(images)
        maps: Tensor = given["out"] if isinstance(given, Mapping) else given
        return maps


class DetectionOutputs(nn.Module):
    """Wrapper that returns a detector's detections in one picture, as a tuple.

    Args:
        detector: as `DenseNetwork` describes it.
        outputs: any of ``"boxes"``, ``"scores"``, ``"labels"``, ``"masks"``.
        preprocessing: the normalization of the input, which is undone because the detector normalizes itself.
        first_label: the label that becomes 0.
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
        """Map a normalized picture (1, 3, H, W) to corners (N, 4), scores (N,), int64 labels (N,), masks (N, 1, …)."""
        (found,) = self.detector([images[0] * self.std + self.mean])
        found = {**found, "labels": found["labels"] - self.first_label}
        return tuple(found[name] for name in self.outputs)
