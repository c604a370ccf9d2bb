"""Loader of pictures that can be opened in any order."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.pretrain.loading.base import Loader
from sslhsic_transfer.pretrain.loading.dataset import TwoViewDataset, damage_in
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import View
from sslhsic_transfer.training.sampler import StepSampler


class StepLoader(Loader[Pictures]):
    """Loader whose order and views depend only on the number of the step."""

    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        sampler = self._sampler(steps)
        samples = iter(reading_ahead(self._dataset(views), self._recipe.workers, batch_sampler=sampler))
        for _ in steps:
            step = [next(samples) for _ in sampler.chunks]
            self._damage.note(entry for sample in step for entry in damage_in(sample))
            yield [(sample.first, sample.second) for sample in step]

    def _dataset(self, views: AugmentationSettings) -> Dataset[Any]:
        return TwoViewDataset(self._pictures, views)

    def _sampler(self, steps: range) -> StepSampler:
        return StepSampler(
            len(self._pictures),
            self._recipe.batch_size,
            start=steps.start,
            total_steps=steps.stop,
            seed=self._recipe.seed,
            rank=self._rank,
            processes=self._processes,
            micro_batch_size=self._recipe.micro_batch_size,
        )
