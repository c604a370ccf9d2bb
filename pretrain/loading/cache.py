"""Cache of decoded pictures in memory, so that a run decodes each only once instead of in every epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from sslhsic_transfer._memory import free_memory
from sslhsic_transfer.data.images import Pictures, to_rgb, upright_size
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.data.storage import require_folder
from sslhsic_transfer.errors import ConfigError, ImageError
from sslhsic_transfer.pretrain.sections import AugmentationSettings, DataSettings

# Number of pictures that a reader hands over at a time.
_PART = 64
# Largest share of the free memory that the cache may take.
_LARGEST_SHARE = 0.8


@dataclass
class PictureCache:
    """The pixels of numbered pictures, upright RGB, in the order of their numbers.

    Attributes:
        parts: tensors (P, 3) uint8, each with the pixels of `_PART` consecutive pictures; unreadable ones have none.
        starts: (N + 1,) int64, where each picture begins in the joined parts, and where the last one ends.
        stored: (N, 2) int32, width and height of the stored pixels.
        originals: (N, 2) int32, width and height of the original picture.
        damage: the reason for each picture that cannot be read, by its number.
    """

    parts: list[Tensor]
    starts: NDArray[np.int64]
    stored: NDArray[np.int32]
    originals: NDArray[np.int32]
    damage: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.stored)

    def original_size(self, index: int) -> tuple[int, int]:
        """Return the original width and height of a picture."""
        width, height = self.originals[index].tolist()
        return width, height

    def stored_size(self, index: int) -> tuple[int, int]:
        """Return the width and height of a picture's stored pixels."""
        width, height = self.stored[index].tolist()
        return width, height

    def pixels(self, index: int) -> Tensor:
        """Return the pixels of a picture, (P, 3) uint8 row by row; not a copy."""
        part = index // _PART
        first = self.starts[part * _PART]
        return self.parts[part][self.starts[index] - first : self.starts[index + 1] - first]

    def open(self, index: int) -> Image.Image:
        """Return a picture as an RGB image.

        Raises:
            ImageError: the picture could not be read.
        """
        if index in self.damage:
            raise ImageError(self.damage[index])
        width, height = self.stored_size(index)
        return Image.fromarray(self.pixels(index).numpy().reshape(height, width, 3))

    def joined(self, device: torch.device) -> Tensor:
        """Join all pixels in one tensor (P, 3) on a device."""
        whole = torch.empty(int(self.starts[-1]), 3, dtype=torch.uint8, device=device)
        for number, part in enumerate(self.parts):
            first = int(self.starts[number * _PART])
            whole[first : first + len(part)] = part
        return whole


def build_cache(
    pictures: Pictures,
    settings: DataSettings,
    views: AugmentationSettings,
    *,
    device: torch.device,
    workers: int,
    progress: bool = False,
) -> PictureCache:
    """Decode all pictures.

    Args:
        pictures: the pictures to decode.
        settings: where and at which size to keep them.
        views: the augmentations, which determine the size if ``settings`` does not.
        device: the device that trains; with ``cache: device`` the pixels must fit its memory, else this machine's.
        workers: number of processes that decode.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: there is not enough memory.
    """
    order = [range(start, min(start + _PART, len(pictures))) for start in range(0, len(pictures), _PART)]
    readers = _Decoding(pictures, settings, views)
    parts: list[Tensor] = []
    sizes: list[tuple[int, int, int, int]] = []
    damage: dict[int, str] = {}
    taken = 0  # bytes
    with tqdm(total=len(pictures), desc="decode", unit="img", disable=not progress) as bar:
        decoded = reading_ahead(readers, workers, pinned=False, sampler=order, batch_size=None)
        for numbers, found in zip(order, decoded, strict=True):
            parts.append(found.pixels.clone())  # the readers' shared memory is small
            sizes += found.sizes
            damage |= {numbers[place]: reason for place, reason in found.damage.items()}
            bar.update(len(numbers))
            taken += found.pixels.numel()
            _require_memory(taken * len(pictures) / len(sizes), settings, device, already=taken)
    table = np.array(sizes, dtype=np.int32).reshape(-1, 4)
    starts = np.concatenate([[0], np.cumsum(table[:, :2].astype(np.int64).prod(axis=1))])
    return PictureCache(parts, starts, table[:, :2], table[:, 2:], damage)


def stored_size(width: int, height: int, settings: DataSettings, views: AugmentationSettings) -> tuple[int, int]:
    """Compute the width and height at which a picture is stored.

    Its short side becomes ``side`` if that is set. Otherwise the smallest crop that may be drawn keeps twice the side
    of the largest view. Pictures are never enlarged.
    """
    if settings.side is not None:
        share = settings.side / min(width, height)
    else:
        largest_view = max([views.size, *(size for _, size in views.progressive)])
        ratio = max(views.crop_ratio[1], 1 / views.crop_ratio[0])
        share = 2 * largest_view / math.sqrt(views.crop_area[0] * width * height / ratio)
    if share >= 1:
        return width, height
    return max(1, round(width * share)), max(1, round(height * share))


class _Decoded(NamedTuple):
    """Consecutive decoded pictures: pixels (P, 3), stored and original sizes, damage by position among them."""

    pixels: Tensor
    sizes: list[tuple[int, int, int, int]]
    damage: dict[int, str]


class _Decoding(Dataset[_Decoded]):
    def __init__(self, pictures: Pictures, settings: DataSettings, views: AugmentationSettings) -> None:
        self.pictures, self.settings, self.views = pictures, settings, views

    def __getitem__(self, numbers: Sequence[int]) -> _Decoded:
        pixels, sizes, damage = [np.empty((0, 3), np.uint8)], [], {}
        for place, number in enumerate(numbers):
            try:
                with self.pictures.open(number) as image:
                    original = upright_size(image)
                    stored = stored_size(*original, self.settings, self.views)
                    pixels.append(self._decode(image, original, stored).reshape(-1, 3))
                sizes.append((*stored, *original))
            except ImageError as error:
                require_folder(error)
                sizes.append((0, 0, 0, 0))
                damage[place] = str(error)
        return _Decoded(torch.from_numpy(np.concatenate(pixels)), sizes, damage)

    def _decode(self, image: Image.Image, original: tuple[int, int], stored: tuple[int, int]) -> NDArray[np.uint8]:
        if stored != original:
            turned = image.size != original  # not yet upright
            image.draft("RGB", stored[::-1] if turned else stored)
        picture = to_rgb(image)
        return np.asarray(picture if picture.size == stored else picture.resize(stored, Image.Resampling.BICUBIC))


def _require_memory(needed: float, settings: DataSettings, device: torch.device, *, already: int) -> None:
    on_device = settings.cache == "device" and device.type == "cuda"
    free = free_memory(device) if on_device else free_memory(torch.device("cpu")) + already
    if needed <= _LARGEST_SHARE * free:
        return
    where, other = (str(device), "data.cache=ram") if on_device else ("this machine", "data.cache=none")
    raise ConfigError(
        f"The decoded pictures take about {needed / 2**30:.1f} GiB; {where} has {free / 2**30:.1f} GiB free, of which "
        f"{_LARGEST_SHARE:.0%} may be used. Set {other}, or keep smaller pictures by data.side."
    )
