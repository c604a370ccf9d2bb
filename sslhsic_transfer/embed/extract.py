"""Embedding of image files, which worker processes read while the encoder runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._precision import Precision
from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer.data.images import Picture, open_image, to_uint8_tensor, upright_size
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.data.storage import require_folder
from sslhsic_transfer.embed.outputs import compute_outputs, empty_outputs, output_sizes
from sslhsic_transfer.errors import ImageError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import Output
from sslhsic_transfer.models.modes import evaluating
from sslhsic_transfer.models.preprocessing import Preprocessing


class Openable(Protocol):
    """Numbered pictures, such as `sslhsic_transfer.data.images.Pictures`."""

    def __len__(self) -> int: ...

    def open(self, index: int) -> Image.Image:
        """Open one picture, preferably not yet decoded, for use in a ``with`` statement.

        Raises:
            ImageError: the picture cannot be read.
        """


@dataclass(frozen=True)
class GivenPictures:
    """Pictures in any form that `Encoder.embed` takes, in a sequence."""

    pictures: Sequence[Picture]

    def __len__(self) -> int:
        return len(self.pictures)

    def open(self, index: int) -> Image.Image:
        """Open a file, or make an image of an array or a tensor.

        Raises:
            ImageError: the picture cannot be read.
        """
        picture = self.pictures[index]
        if isinstance(picture, str | Path):
            return open_image(picture)
        if isinstance(picture, Image.Image):
            return picture
        return Image.fromarray(to_uint8_tensor(picture).permute(1, 2, 0).contiguous().numpy())


def extract(
    encoder: Encoder,
    paths: Sequence[Path],
    *,
    batch_size: int = 64,
    workers: int = 0,
    progress: str | None = None,
) -> Tensor:
    """Embed picture files.

    Args:
        encoder: in any mode, on any device; used in eval mode.
        paths: the image files.
        batch_size: number of pictures in a batch.
        workers: processes that read pictures, at most one for each processor; 0 reads in this process.
        progress: title of a progress bar; None shows no bar.

    Returns:
        (N, D) float32 on the CPU, in the order of ``paths``.

    Raises:
        ImageError: a picture cannot be read; the message names it.
    """
    parts = [torch.empty(0, encoder.feature_dim)]
    for batch in extract_batches(encoder, paths, batch_size=batch_size, workers=workers, progress=progress):
        if batch.errors:
            raise ImageError(next(iter(batch.errors.values())))
        parts.append(batch.outputs["pooled"])
    return torch.cat(parts)


@dataclass(frozen=True)
class Batch:
    """Results for consecutive pictures.

    Attributes:
        outputs: name -> (n, dim) float32 on the CPU, of the n readable pictures, in order.
        sizes: width and height of each readable picture.
        errors: index of each unreadable picture -> the reason.
    """

    outputs: Mapping[str, Tensor]
    sizes: list[tuple[int, int]]
    errors: dict[int, str]


def extract_batches(
    encoder: Encoder,
    pictures: Openable | Sequence[Picture],
    outputs: Sequence[Output] = ("pooled",),
    *,
    start: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    precision: Precision = "fp32",
    normalize: bool = False,
    progress: str | None = None,
) -> Iterator[Batch]:
    """Compute outputs batch by batch from ``start`` on, without stopping at a picture that cannot be read.

    Args:
        encoder: in any mode, on any device; used in eval mode.
        pictures: the pictures, numbered or in a sequence.
        outputs: names, as of `parse_outputs`.
        start: number of the first picture.
        batch_size: number of pictures in a batch.
        workers: processes that read pictures, at most one for each processor; 0 reads in this process.
        precision: the network's precision.
        normalize: whether to divide each vector by its Euclidean norm.
        progress: title of a progress bar; None shows no bar.
    """
    numbered = GivenPictures(pictures) if isinstance(pictures, Sequence) else pictures
    dataset = _PictureDataset(numbered, encoder.preprocessing.crop_transform())
    order = range(start, len(pictures))
    readers = min(workers, usable_cpus())
    weight = encoder.backbone.first_weight
    nothing = empty_outputs(output_sizes(encoder, outputs))
    loader = reading_ahead(
        dataset, readers, pinned=weight.is_cuda, sampler=order, batch_size=batch_size, collate_fn=_collate
    )
    with (
        evaluating(encoder),
        tuned_convolutions(),
        advising_on_memory(f"Set batch_size={max(1, batch_size // 2)}."),
        tqdm(initial=start, total=len(pictures), desc=progress, unit="img", disable=progress is None) as bar,
    ):
        for pixels, sizes, errors in loader:
            found: Mapping[str, Tensor] = nothing
            if len(pixels):
                with torch.inference_mode(), _computing(precision, weight.device):
                    images = _as_input(pixels, encoder.preprocessing, weight)
                    found = compute_outputs(encoder, images, outputs, normalize=normalize)
                    found = {name: values.cpu() for name, values in found.items()}
            yield Batch(found, sizes, errors)
            bar.update(len(pixels) + len(errors))


def _as_input(pixels: Tensor, preprocessing: Preprocessing, weight: Tensor) -> Tensor:
    """Normalize (B, H, W, 3) uint8 pixels on the weight's device; on CUDA channels stay last, which is faster there."""
    images = pixels.to(weight.device, non_blocking=True).permute(0, 3, 1, 2)
    layout = torch.channels_last if weight.is_cuda else torch.contiguous_format
    return preprocessing.normalize(images.contiguous(memory_format=layout)).to(weight.dtype)


_Read = tuple[int, Tensor | str, tuple[int, int]]


def _collate(batch: list[_Read]) -> tuple[Tensor, list[tuple[int, int]], dict[int, str]]:
    """Stack the readable pictures, channels last, in the reading process; map each other's index to the reason."""
    readable = [(picture.permute(1, 2, 0), size) for _, picture, size in batch if isinstance(picture, Tensor)]
    errors = {index: picture for index, picture, _ in batch if isinstance(picture, str)}
    pixels = torch.stack([picture for picture, _ in readable]) if readable else torch.empty(0)
    return pixels, [size for _, size in readable], errors


def _computing(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


class _PictureDataset(Dataset[_Read]):
    """Index, pixels and size of each picture, or the reason why it cannot be read."""

    def __init__(self, pictures: Openable, transform: Callable[[Picture], Tensor]) -> None:
        self.pictures = pictures
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> _Read:
        try:
            with self.pictures.open(index) as image:
                size = upright_size(image)
                return index, self.transform(image), size
        except ImageError as error:
            require_folder(error)
            return index, str(error), (0, 0)
