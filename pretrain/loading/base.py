"""What hands out the steps of a run, whatever it reads from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources import Stream
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.stages import view_stages
from sslhsic_transfer.pretrain.recipe import AugmentationSettings, Recipe
from sslhsic_transfer.pretrain.views import View

Source = TypeVar("Source", Pictures, Stream)


class Loader(ABC, Generic[Source]):
    """The steps that remain of a run, each a list of micro-batches of two `View`; workers start once for each size.

    Args:
        pictures: where pictures come from.
        recipe: views, batch, seed and workers.
        start: steps already made.
        total_steps: steps of the run.
        damage: the record of pictures that cannot be read.
        rank: which process.
        processes: how many there are.
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
        """Consecutive steps whose views are made alike."""

    def state_dict(self) -> dict[str, Any]:
        """What this process must know, besides the number of the step, to go on after the last step handed out."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a loader of the same process, before an interruption, had been.

        To be called before the first step is taken.

        Raises:
            CheckpointError: it cannot.
        """
