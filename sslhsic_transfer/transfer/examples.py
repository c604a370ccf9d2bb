"""What the tasks' training examples share: a picture and its target, changed at random by a seed of its own."""

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

# Random choices of one example: its index and a seed.
Example = tuple[int, int]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers as a function of a seed, without a trace outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def random_scale(low: float, high: float) -> float:
    """Uniform between the two."""
    return float(torch.empty(()).uniform_(low, high))


def resized_by(factor: float, image: tv_tensors.Image, target: tv_tensors.Mask) -> tuple[Any, Any]:
    """Both enlarged alike: pictures smoothly, targets by their nearest pixel."""
    size = [max(1, round(factor * side)) for side in image.shape[-2:]]
    if size == list(image.shape[-2:]):
        return image, target
    resize = v2.Resize(size, antialias=True)
    return resize(image, target)


def short_side_factor(image: torch.Tensor, side: int | None) -> float:
    """By how much a picture grows when its short side gets this many pixels; None: it stays."""
    return 1.0 if side is None else side / min(image.shape[-2:])


def crop_flip_jitter(crop: tuple[int, int], jitter: float, preprocessing: Preprocessing, ignored: float) -> v2.Compose:
    """Random crop, padded where the picture is smaller, flip, colours; then floats, normalised.

    Args:
        crop: height and width.
        jitter: strength of brightness, contrast and saturation.
        preprocessing: of the encoder; padding becomes 0 after it.
        ignored: what targets are padded with.
    """
    mean, _ = preprocessing.on_255()
    return v2.Compose(
        [
            v2.RandomCrop(list(crop), pad_if_needed=True, fill={tv_tensors.Image: mean, tv_tensors.Mask: ignored}),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(jitter, jitter, jitter),
            normalised(preprocessing),
        ]
    )


def network_input(picture: Image.Image, resize: int | None, preprocessing: Preprocessing) -> torch.Tensor:
    """A picture of any size as the (1, 3, H, W) that a trained network takes."""
    image = tv_tensors.Image(bytes_at(picture, resize))
    batch: torch.Tensor = normalised(preprocessing)(image)[None].as_subclass(torch.Tensor)
    return batch


def bytes_at(picture: Image.Image, resize: int | None) -> torch.Tensor:
    """A picture as (3, H, W) uint8 RGB, its short side resized; None: as it is."""
    image = T.pil_to_tensor(to_rgb(picture))
    factor = short_side_factor(image, resize)
    resized: torch.Tensor = T.resize(image, [round(factor * side) for side in image.shape[-2:]], antialias=True)
    return resized


class MapPredictor:
    """A trained network that gives maps, as a function of one picture of any size.

    Args:
        network: (1, 3, h, w) -> its output.
        preprocessing: of the encoder.
        resize: short side that the network sees; None: the picture's own.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, resize: int | None) -> None:
        self.network = network.eval()
        self.preprocessing = preprocessing
        self.resize = resize

    def output(self, picture: Image.Image) -> Any:
        """What the network says to a picture."""
        device = next(self.network.parameters()).device
        return self.network(network_input(picture, self.resize, self.preprocessing).to(device))


def at_size_of(picture: Image.Image, maps: torch.Tensor) -> torch.Tensor:
    """A network's (1, C, h, w) maps at a picture's own size, (1, C, H, W)."""
    return F.interpolate(maps.float(), size=picture.size[::-1], mode="bilinear", align_corners=False)


def normalised(preprocessing: Preprocessing) -> v2.Compose:
    """Bytes to the encoder's input: targets pass as they are."""
    return v2.Compose(
        [
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
        ]
    )
