"""Loaders of cached pictures, with the same pictures, order and random numbers as without a cache."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.pretrain.loading.cache import PictureCache
from sslhsic_transfer.pretrain.loading.dataset import TwoViewDataset, candidates
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import Crops, View, collate_crops, cut_batch, cut_views, draw_views
from sslhsic_transfer.training.sampler import Example


class CachedLoader(StepLoader):
    """Loader for training on a CPU, whose readers crop decoded pictures.

    Args:
        pictures: the pictures to load.
        recipe: settings of views, batch, seed and workers.
        cache: the decoded pictures.
        options: further arguments of `StepLoader`.
    """

    def __init__(self, pictures: Pictures, recipe: Recipe, cache: PictureCache, **options: Any) -> None:
        super().__init__(pictures, recipe, **options)
        self._cache = cache
        self._damage.note((pictures.name(index), reason) for index, reason in cache.damage.items())

    def _dataset(self, views: AugmentationSettings) -> Dataset[Any]:
        return CachedViewDataset(self._pictures, views, self._cache)


class CachedViewDataset(TwoViewDataset):
    """Data set of two views of each decoded picture.

    Args:
        pictures: the pictures, for their names.
        settings: the augmentations.
        cache: the decoded pictures.
    """

    def __init__(self, pictures: Pictures, settings: AugmentationSettings, cache: PictureCache) -> None:
        super().__init__(pictures, settings)
        self.cache = cache

    def _views(self, index: int, seed: int) -> tuple[View, View]:
        picture, size = self.cache.open(index), self.cache.original_size(index)
        return cut_views(picture, size, draw_views(seed, self.settings, *size), self.settings)


class DeviceLoader(CachedLoader):
    """Loader for training on an accelerator, which crops whole batches; readers only draw the random numbers.

    Args:
        pictures: the pictures to load.
        recipe: settings of views, batch, seed and workers.
        cache: the decoded pictures.
        device: the device that crops. With ``data.cache=device`` it holds all pixels; with ``ram`` readers gather the
            pixels of each batch, which are copied there.
        options: further arguments of `StepLoader`.
    """

    def __init__(
        self, pictures: Pictures, recipe: Recipe, cache: PictureCache, *, device: torch.device, **options: Any
    ) -> None:
        super().__init__(pictures, recipe, cache, **options)
        self._device = device
        self._resident = cache.joined(device) if recipe.data.cache == "device" else None
        if self._resident is not None:
            cache.parts.clear()  # readers need the sizes only

    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        sampler = self._sampler(steps)
        dataset = CropDataset(self._cache, views, gather=self._resident is None)
        readers = reading_ahead(dataset, self._recipe.workers, sampler=sampler, batch_size=None, collate_fn=_as_it_is)
        batches = iter(readers)
        for _ in steps:
            yield [self._cut(next(batches), views) for _ in sampler.chunks]

    def _cut(self, batch: "CropBatch", views: AugmentationSettings) -> tuple[View, View]:
        starts, widths = (
            torch.from_numpy(part).to(self._device, non_blocking=True) for part in (batch.starts, batch.widths)
        )
        pixels = self._resident
        if pixels is None:
            pixels = batch.pixels.to(self._device, non_blocking=True)
        return (
            cut_batch(pixels, starts, widths, batch.first, views),
            cut_batch(pixels, starts, widths, batch.second, views),
        )


def _as_it_is(batch: "CropBatch") -> "CropBatch":
    """Return a batch unchanged; by default, a `DataLoader` would convert its arrays to tensors."""
    return batch


class CropBatch(NamedTuple):
    """A micro-batch before its crops are made.

    Attributes:
        pixels: (P, 3) uint8 of its pictures, one after another; empty if the device holds all pictures.
        starts: (B,) int64, index of the first pixel of each picture.
        widths: (B,) int64, width of each picture in pixels.
        first: crops of the first view.
        second: crops of the second view.
    """

    pixels: Tensor
    starts: NDArray[np.int64]
    widths: NDArray[np.int64]
    first: Crops
    second: Crops


class CropDataset(Dataset[CropBatch]):
    """Data set of the random numbers of each micro-batch's views, and of its pixels if the device does not hold them.

    Args:
        cache: the decoded pictures.
        settings: the augmentations.
        gather: whether to gather the pixels.
    """

    def __init__(self, cache: PictureCache, settings: AugmentationSettings, *, gather: bool) -> None:
        self.cache = cache
        self.settings = settings
        self.gather = gather

    def __getitem__(self, examples: list[Example]) -> CropBatch:
        """Draw the random numbers of pictures, each from its seed.

        Raises:
            DataError: ten pictures in a row cannot be read.
        """
        cache = self.cache
        chosen = [self._readable(index, seed) for index, seed in examples]
        originals = [cache.original_size(index) for index in chosen]
        stored = [cache.stored_size(index) for index in chosen]
        draws = [draw_views(seed, self.settings, *size) for (_, seed), size in zip(examples, originals, strict=True)]
        first, second = (collate_crops(view, originals, stored) for view in zip(*draws, strict=True))
        starts, pixels = cache.starts[chosen], torch.empty(0, 3, dtype=torch.uint8)
        if self.gather:
            pixels = torch.cat([cache.pixels(index) for index in chosen])
            counts = np.array([width * height for width, height in stored])
            starts = counts.cumsum() - counts
        return CropBatch(pixels, starts, np.array([width for width, _ in stored]), first, second)

    def _readable(self, index: int, seed: int) -> int:
        found = next(
            (other for other in candidates(index, seed, len(self.cache)) if other not in self.cache.damage), None
        )
        if found is None:
            raise DataError(f"Picture {index} and all that could take its place cannot be read.")
        return found
