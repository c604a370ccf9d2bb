"""The steps of a run on decoded pictures: the same pictures, order and random numbers as without a cache."""

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
from sslhsic_transfer.pretrain.recipe import AugmentationSettings, Recipe
from sslhsic_transfer.pretrain.views import Crops, View, collate_crops, cut_batch, cut_views, draw_views
from sslhsic_transfer.training.sampler import Example


class CachedLoader(StepLoader):
    """The steps of a run on a CPU: readers crop what is decoded already.

    Args:
        pictures: where pictures come from.
        recipe: views, batch, seed and workers.
        cache: the pictures, decoded.
        options: as for `StepLoader`.
    """

    def __init__(self, pictures: Pictures, recipe: Recipe, cache: PictureCache, **options: Any) -> None:
        super().__init__(pictures, recipe, **options)
        self._cache = cache
        self._damage.note((pictures.name(index), reason) for index, reason in cache.damage.items())

    def _dataset(self, views: AugmentationSettings) -> Dataset[Any]:
        return CachedViewDataset(self._pictures, views, self._cache)


class CachedViewDataset(TwoViewDataset):
    """Two views of a picture that is decoded already.

    Args:
        pictures: where it comes from.
        settings: the augmentations.
        cache: the pictures, decoded.
    """

    def __init__(self, pictures: Pictures, settings: AugmentationSettings, cache: PictureCache) -> None:
        super().__init__(pictures, settings)
        self.cache = cache

    def _views(self, index: int, seed: int) -> tuple[View, View]:
        picture, size = self.cache.open(index), self.cache.original_size(index)
        return cut_views(picture, size, draw_views(seed, self.settings, *size), self.settings)


class DeviceLoader(CachedLoader):
    """The steps of a run on an accelerator, which crops a batch at a time; readers draw the random numbers.

    Args:
        pictures: where pictures come from.
        recipe: views, batch, seed and workers.
        cache: the pictures, decoded.
        device: where to crop. With ``data.cache=device`` all pixels lie there; with ``ram`` readers gather those of
            each batch, which are copied there.
        options: as for `StepLoader`.
    """

    def __init__(
        self, pictures: Pictures, recipe: Recipe, cache: PictureCache, *, device: torch.device, **options: Any
    ) -> None:
        super().__init__(pictures, recipe, cache, **options)
        self._device = device
        self._resident = cache.joined(device) if recipe.data.cache == "device" else None
        if self._resident is not None:
            cache.parts.clear()  # readers need sizes alone

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
    """Return a batch with its arrays, of which a `DataLoader` would make tensors."""
    return batch


class CropBatch(NamedTuple):
    """A micro-batch before its crops are made.

    Attributes:
        pixels: (P, 3) uint8 of its pictures, one after another; empty where all pictures lie on the device.
        starts: (B,) int64, the first pixel of each picture there.
        widths: (B,) int64, pixels of a row of each.
        first: crops of the first view.
        second: crops of the second view.
    """

    pixels: Tensor
    starts: NDArray[np.int64]
    widths: NDArray[np.int64]
    first: Crops
    second: Crops


class CropDataset(Dataset[CropBatch]):
    """The random numbers of a micro-batch's views, and its pixels where they are not on the device.

    Args:
        cache: the pictures.
        settings: the augmentations.
        gather: whether to gather the pixels.
    """

    def __init__(self, cache: PictureCache, settings: AugmentationSettings, *, gather: bool) -> None:
        self.cache = cache
        self.settings = settings
        self.gather = gather

    def __getitem__(self, examples: list[Example]) -> CropBatch:
        """Draw what is random about some pictures, each with its seed.

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
