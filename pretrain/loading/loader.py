"""What hands out the steps of a run: batches of views, read by worker processes."""

from collections.abc import Iterator
from typing import Any

from sslhsic_transfer._workers import reading_ahead
from sslhsic_transfer.images import Pictures
from sslhsic_transfer.pretrain.loading.base import Loader
from sslhsic_transfer.pretrain.loading.dataset import StepSampler, TwoViewDataset, damage_in
from sslhsic_transfer.pretrain.loading.stream_loader import StreamLoader
from sslhsic_transfer.pretrain.recipe import AugmentationSettings, Recipe
from sslhsic_transfer.pretrain.sources import Stream
from sslhsic_transfer.pretrain.views import View


def build_loader(pictures: Pictures | Stream, recipe: Recipe, **options: Any) -> Loader[Any]:
    """The loader for a kind of source; arguments as for `Loader`."""
    if isinstance(pictures, Stream):
        return StreamLoader(pictures, recipe, **options)
    return StepLoader(pictures, recipe, **options)


class StepLoader(Loader[Pictures]):
    """The steps of a run on pictures that can be opened in any order: order and views follow from the step's number."""

    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        recipe = self._recipe
        sampler = StepSampler(
            len(self._pictures),
            recipe.batch_size,
            start=steps.start,
            total_steps=steps.stop,
            seed=recipe.seed,
            rank=self._rank,
            processes=self._processes,
            micro_batch_size=recipe.micro_batch_size,
        )
        dataset = TwoViewDataset(self._pictures, views)
        samples = iter(reading_ahead(dataset, recipe.workers, batch_sampler=sampler))
        for _ in steps:
            step = [next(samples) for _ in sampler.chunks]
            self._damage.note(entry for sample in step for entry in damage_in(sample))
            yield [(sample.first, sample.second) for sample in step]
