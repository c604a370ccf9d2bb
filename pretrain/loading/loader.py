"""What hands out the steps of a run: batches of views, read by worker processes."""

from collections.abc import Iterator
from typing import Any, Protocol

from sslhsic_transfer.images import Pictures
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.dataset import StepSampler, TwoViewDataset, damage_in
from sslhsic_transfer.pretrain.loading.stages import view_stages
from sslhsic_transfer.pretrain.loading.stream_loader import StreamLoader
from sslhsic_transfer.pretrain.loading.workers import reading_ahead
from sslhsic_transfer.pretrain.recipe import AugmentationSettings, Recipe
from sslhsic_transfer.pretrain.sources import Stream
from sslhsic_transfer.pretrain.views import View


class Loader(Protocol):
    """The steps that remain of a run, each a list of micro-batches of two `View`."""

    def __iter__(self) -> Iterator[list[tuple[View, View]]]: ...

    def state_dict(self) -> dict[str, Any]:
        """What this process must know, besides the number of the step, to go on after the last step handed out."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a loader of the same process, before an interruption, had been.

        Raises:
            CheckpointError: it cannot.
        """


def build_loader(pictures: Pictures | Stream, recipe: Recipe, **options: Any) -> Loader:
    """The loader for a kind of source; arguments as for `StepLoader`."""
    if isinstance(pictures, Stream):
        return StreamLoader(pictures, recipe, **options)
    return StepLoader(pictures, recipe, **options)


class StepLoader:
    """The steps that remain, each a list of micro-batches of two `View`; workers start once for each size of views.

    Args:
        pictures: where pictures come from.
        damage: the record of pictures that cannot be read.
        recipe: views, batch, seed and workers.
        start: steps already made.
        total_steps: steps of the run.
        rank: which process.
        processes: how many there are.
    """

    def __init__(
        self,
        pictures: Pictures,
        recipe: Recipe,
        *,
        start: int,
        total_steps: int,
        damage: DamageRecord,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._pictures = pictures
        self._recipe = recipe
        self._steps = range(start, total_steps)
        self._damage = damage
        self._rank = rank
        self._processes = processes

    def __iter__(self) -> Iterator[list[tuple[View, View]]]:
        for steps, views in view_stages(self._steps, self._recipe, len(self._pictures)):
            yield from self._stage(steps, views)

    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        """Consecutive steps whose views are made alike."""
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

    def state_dict(self) -> dict[str, Any]:
        """Nothing: order and views follow from the number of the step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
