"""Base class of pretraining loaders."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources import Stream
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.stages import view_stages
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import View

Source = TypeVar("Source", Pictures, Stream)


class Loader(ABC, Generic[Source]):
    """Iterable over the remaining steps of a run, each a list of micro-batches of two `View`.

    Workers are started once for each size of view.

    Args:
        pictures: the pictures to load.
        recipe: settings of views, batch, seed and workers.
        start: number of steps already made.
        total_steps: number of steps of the run.
        damage: the record of pictures that cannot be read.
        rank: number of this process.
        processes: number of processes.
    """

    def __init__(
        self,
        pictures: Source,
        recipe: Recipe,
        *,
        start: int,
        total_steps: int,
        damage: DamageRecord,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._pictures: Source = pictures
        self._recipe = recipe
        self._steps = range(start, total_steps)
        self._damage = damage
        self._rank = rank
        self._processes = processes

    def __iter__(self) -> Iterator[list[tuple[View, View]]]:
        for steps, views in view_stages(self._steps, self._recipe, len(self._pictures)):
            yield from self._stage(steps, views)

    @abstractmethod
    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        """Yield consecutive steps whose views are made alike."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that this process needs, besides the step's number, to continue after the last step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a loader of the same process had been before an interruption.

        Must be called before the first step is taken.

        Raises:
            CheckpointError: the loader cannot continue from this state.
        """
