"""Helpers for the tasks' training examples: pictures and targets with augmentation that depends on a seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.data.images import to_rgb
from sslhsic_transfer.models.preprocessing import Preprocessing


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random numbers within the block and restore them afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def random_scale(low: float, high: float) -> float:
    """Draw a uniform number between the two."""
    return float(torch.empty(()).uniform_(low, high))


def resized_by(factor: float, image: tv_tensors.Image, target: tv_tensors.Mask) -> tuple[Any, Any]:
    """Resize picture and target by the same factor: pictures smoothly, targets by nearest pixel."""
    size = [max(1, round(factor * side)) for side in image.shape[-2:]]
    if size == list(image.shape[-2:]):
        return image, target
    resize = v2.Resize(size, antialias=True)
    return resize(image, target)


def short_side_factor(image: torch.Tensor, side: int | None) -> float:
    """Return the factor that brings a picture's short side to this length; 1 for None."""
    return 1.0 if side is None else side / min(image.shape[-2:])


def crop_flip_jitter(crop: tuple[int, int], jitter: float, preprocessing: Preprocessing, ignored: float) -> v2.Compose:
    """Return a transform: random crop, padded if the picture is smaller; flip; color jitter; normalized floats.

    Args:
        crop: height and width in pixels.
        jitter: strength of brightness, contrast and saturation changes.
        preprocessing: the encoder's preprocessing; padding is 0 after it.
        ignored: value that pads targets.
    """
    mean, _ = preprocessing.on_255()
    return v2.Compose(
        [
            v2.RandomCrop(list(crop), pad_if_needed=True, fill={tv_tensors.Image: mean, tv_tensors.Mask: ignored}),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(jitter, jitter, jitter),
            normalized(preprocessing),
        ]
    )


def network_input(picture: Image.Image, resize: int | None, preprocessing: Preprocessing) -> torch.Tensor:
    """Convert a picture of any size to the (1, 3, H, W) input of a trained network."""
    image = tv_tensors.Image(bytes_at(picture, resize))
    batch: torch.Tensor = normalized(preprocessing)(image)[None].as_subclass(torch.Tensor)
    return batch


def bytes_at(picture: Image.Image, resize: int | None) -> torch.Tensor:
    """Return a picture as (3, H, W) uint8 RGB with its short side resized; None keeps the size."""
    image = T.pil_to_tensor(to_rgb(picture))
    factor = short_side_factor(image, resize)
    resized: torch.Tensor = T.resize(image, [round(factor * side) for side in image.shape[-2:]], antialias=True)
    return resized


class MapPredictor:
    """A trained network that predicts maps, as a function of one picture of any size.

    Args:
        network: (1, 3, h, w) -> its output.
        preprocessing: the encoder's preprocessing.
        resize: length of the short side in the network's input; None keeps the picture's own.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, resize: int | None) -> None:
        self.network = network.eval()
        self.preprocessing = preprocessing
        self.resize = resize

    def output(self, picture: Image.Image) -> Any:
        """Return the network's output for a picture."""
        device = next(self.network.parameters()).device
        return self.network(network_input(picture, self.resize, self.preprocessing).to(device))


def at_size_of(picture: Image.Image, maps: torch.Tensor) -> torch.Tensor:
    """Resize a network's (1, C, h, w) maps to a picture's own size, (1, C, H, W)."""
    return F.interpolate(maps.float(), size=picture.size[::-1], mode="bilinear", align_corners=False)


def normalized(preprocessing: Preprocessing) -> v2.Compose:
    """Return a transform from bytes to the encoder's input; targets pass unchanged."""
    return v2.Compose(
        [
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
        ]
    )
