"""Embedding of image files, which worker processes read while the encoder runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._precision import Precision
from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer.data.images import Picture
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.data.storage import require_folder
from sslhsic_transfer.errors import ImageError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.modes import evaluating
from sslhsic_transfer.models.preprocessing import Preprocessing


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
    for embeddings, errors in extract_batches(
        encoder, paths, batch_size=batch_size, workers=workers, progress=progress
    ):
        if errors:
            raise ImageError(next(iter(errors.values())))
        parts.append(embeddings)
    return torch.cat(parts)


def extract_batches(
    encoder: Encoder,
    pictures: Sequence[Picture],
    *,
    start: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    precision: Precision = "fp32",
    progress: str | None = None,
) -> Iterator[tuple[Tensor, dict[int, str]]]:
    """Embed pictures batch by batch from ``start`` on, without stopping at a picture that cannot be read.

    Yields:
        For each batch, the embeddings of the readable pictures, (n, D) float32 on the CPU, in order; and for each
        unreadable picture its index in ``pictures`` and the reason.
    """
    dataset = _PictureDataset(pictures, encoder.preprocessing.crop_transform())
    order = range(start, len(pictures))
    readers = min(workers, usable_cpus())
    weight = encoder.backbone.first_weight
    loader = reading_ahead(
        dataset, readers, pinned=weight.is_cuda, sampler=order, batch_size=batch_size, collate_fn=_collate
    )
    with (
        evaluating(encoder),
        tuned_convolutions(),
        advising_on_memory(f"Set batch_size={max(1, batch_size // 2)}."),
        tqdm(initial=start, total=len(pictures), desc=progress, unit="img", disable=progress is None) as bar,
    ):
        for pixels, errors in loader:
            embeddings = torch.empty(0, encoder.feature_dim)
            if len(pixels):
                with torch.inference_mode(), _computing(precision, weight.device):
                    embeddings = encoder(_as_input(pixels, encoder.preprocessing, weight)).float().cpu()
            yield embeddings, errors
            bar.update(len(pixels) + len(errors))


def _as_input(pixels: Tensor, preprocessing: Preprocessing, weight: Tensor) -> Tensor:
    """Normalize (B, H, W, 3) uint8 pixels on the weight's device; on CUDA channels stay last, which is faster there."""
    images = pixels.to(weight.device, non_blocking=True).permute(0, 3, 1, 2)
    layout = torch.channels_last if weight.is_cuda else torch.contiguous_format
    return preprocessing.normalize(images.contiguous(memory_format=layout)).to(weight.dtype)


def _collate(batch: list[tuple[int, Tensor | str]]) -> tuple[Tensor, dict[int, str]]:
    """Stack the readable pictures, channels last, in the reading process; map each other's index to the reason."""
    readable = [picture.permute(1, 2, 0) for _, picture in batch if isinstance(picture, Tensor)]
    errors = {index: picture for index, picture in batch if isinstance(picture, str)}
    return torch.stack(readable) if readable else torch.empty(0), errors


def _computing(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


class _PictureDataset(Dataset[tuple[int, Tensor | str]]):
    """Index and pixels of each picture, or the reason why it cannot be read."""

    def __init__(self, pictures: Sequence[Picture], transform: Callable[[Picture], Tensor]) -> None:
        self.pictures = pictures
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            return index, self.transform(self.pictures[index])
        except ImageError as error:
            require_folder(error)
            return index, str(error)
