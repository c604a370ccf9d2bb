"""Settings of all parts of `benchmarks/gpu.py`, and the sizes that follow."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch


class Network(NamedTuple):
    """A network that is pretrained.

    Attributes:
        recipe: the shipped recipe whose optimizer, heads and colors are used.
        architecture: the encoder's architecture.
        side: width and height of the views, in pixels.
        pictures: the folder of pictures that is read.
    """

    recipe: str
    architecture: str
    side: int
    pictures: str


NETWORKS = {
    "resnet18-96": Network("imagenette-r18", "resnet18", 96, "small"),
    "resnet50-224": Network("imagenet-r50", "resnet50", 224, "large"),
    "resnet50-96": Network("imagenette-r50", "resnet50", 96, "small"),
}
_TRIED = Network("imagenette-r18", "resnet18", 32, "small")

# Part -> the folders of pictures that it reads.
SIZES: dict[str, tuple[str, ...]] = {"pretrain": ("small", "large"), "embed": ("large",), "loss": (), "probes": ()}


@dataclass(frozen=True)
class Settings:
    """How a run was called.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        quick: whether sizes are those of a try.
        workers: processes that read pictures.
        compiled: whether torch.compile is measured.
        networks: names of `NETWORKS` to pretrain.
        work: folder for pictures, models and compiled kernels, which a later run finds again.
    """

    device: str
    quick: bool
    workers: int
    compiled: bool
    networks: tuple[str, ...]
    work: Path

    @property
    def place(self) -> torch.device:
        """The device."""
        return torch.device(self.device)

    @property
    def chosen_networks(self) -> dict[str, Network]:
        """The networks to pretrain, by name."""
        return {"resnet18-32": _TRIED} if self.quick else {name: NETWORKS[name] for name in self.networks}

    @property
    def batch_size(self) -> int:
        """Pictures of a step."""
        return 16 if self.quick else 256

    @property
    def window(self) -> int:
        """Steps of an epoch, whole rounds of the readers: the least stretch over which a reader-bound speed is fair."""
        return self.workers * -(-(4 if self.quick else 12) // self.workers)

    @property
    def picture_count(self) -> int:
        """Pictures of a folder: an epoch."""
        return self.batch_size * self.window

    def picture_size(self, name: str) -> tuple[int, int]:
        """Return width and height of the pictures of a folder."""
        sizes = {"small": (213, 160), "large": (500, 375)}
        width, height = sizes[name]
        return (width // 3, height // 3) if self.quick else (width, height)

    def folder(self, name: str) -> Path:
        """Return the folder of the pictures of a size."""
        width, height = self.picture_size(name)
        return self.work / f"pictures-{width}x{height}-{self.picture_count}"
