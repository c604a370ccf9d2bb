"""Loader of streams, whose readers each read their own part of the stream, epoch after epoch.

A reader's pictures depend only on the seed, its number, the number of readers, and how many pictures it has taken
before. The last is its place, which a checkpoint keeps. To return there, it skips pictures without decoding them.
"""

import json
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch.utils.data import IterableDataset, default_collate, get_worker_info

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.data.sources.streams import Stream, StreamedPicture
from sslhsic_transfer.errors import CheckpointError, DataError, ImageError
from sslhsic_transfer.pretrain.loading.base import Loader
from sslhsic_transfer.pretrain.loading.dataset import Sample, damage_in
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import View, two_views
from sslhsic_transfer.training.sampler import chunk_sizes


class Place(NamedTuple):
    """Position of a reader in its part of the stream.

    Attributes:
        epoch: number of its pass over that part.
        taken: number of pictures it has taken in that pass, readable or not.
    """

    epoch: int
    taken: int


class StreamBatches(IterableDataset[tuple[Sample, int, Place]]):
    """The micro-batches of one process in order, each with its reader's number and that reader's place afterwards.

    Readers are the process's workers; they make batches in turn, the order in which a `DataLoader` takes them.

    Args:
        stream: the pictures to read.
        settings: the augmentations.
        chunks: sizes of the micro-batches of a step.
        steps: the steps to make.
        seed: seed of order and views.
        rank: number of this process.
        processes: number of processes.
        places: the place where each reader of this process begins.
    """

    _ATTEMPTS = 100

    def __init__(
        self,
        stream: Stream,
        settings: AugmentationSettings,
        *,
        chunks: list[int],
        steps: range,
        seed: int,
        rank: int,
        processes: int,
        places: list[Place],
    ) -> None:
        self.stream = stream
        self.settings = settings
        self.chunks = chunks
        self.batches = range(steps.start * len(chunks), steps.stop * len(chunks))
        self.seed = seed
        self.first_reader = rank * len(places)
        self.readers = processes * len(places)
        self.places = places

    def __iter__(self) -> Iterator[tuple[Sample, int, Place]]:
        worker = get_worker_info()
        number = 0
        if worker is not None:
            number = worker.id
            optional_import("fsspec.asyn", extra="data", purpose="Reading streams").reset_lock()  # the parent's, forked
        mine = self.batches[number :: len(self.places)]
        if not mine:
            return
        reader = mine[0] % len(self.places)
        place = self.places[reader]
        examples = self._examples(self.first_reader + reader, place)
        for batch in mine:
            samples = []
            for _ in range(self.chunks[batch % len(self.chunks)]):
                sample, place = self._readable(examples, self.first_reader + reader)
                samples.append(sample)
            yield default_collate(samples), reader, place

    def _examples(self, reader: int, place: Place) -> Iterator[tuple[StreamedPicture, Place]]:
        """Yield one reader's pictures after ``place``, without end."""
        epoch, taken = place
        while True:
            count = 0
            pictures = self.stream.read(epoch, seed=self.seed, reader=reader, readers=self.readers)
            for count, picture in enumerate(pictures, 1):
                if count > taken:
                    yield picture, Place(epoch, count)
            if not count:
                raise DataError(
                    f"Reader {reader} of {self.readers} finds no pictures in the stream: it holds none, or fewer than "
                    "there are readers. Lower workers."
                )
            epoch, taken = epoch + 1, 0

    def _readable(self, examples: Iterator[tuple[StreamedPicture, Place]], reader: int) -> tuple[Sample, Place]:
        """Return the views of the next picture that can be read."""
        damage: list[tuple[str, str]] = []
        while len(damage) < self._ATTEMPTS:
            picture, place = next(examples)
            try:
                with picture.open() as image:
                    views = two_views(image, mix_seed(self.seed, place.epoch, reader, place.taken), self.settings)
                return Sample(*views, json.dumps(damage)), place
            except ImageError as error:
                damage.append((picture.name, str(error)))
        raise DataError(f"{self._ATTEMPTS} pictures in a row cannot be read, at last {damage[-1][0]}: {damage[-1][1]}")


class StreamLoader(Loader[Stream]):
    """Loader of a stream.

    An epoch is as many pictures as the stream says it has. Each reader repeats its own part, so readers whose parts
    differ in size reach the end of them at different steps.
    """

    def __init__(self, pictures: Stream, recipe: Recipe, *, start: int, processes: int = 1, **options: Any) -> None:
        super().__init__(pictures, recipe, start=start, processes=processes, **options)
        self._places = [Place(0, 0)] * max(1, recipe.workers)
        self._known = start == 0
        readers = processes * len(self._places)
        if self._rank == 0 and pictures.shards % readers:
            warnings.warn(
                f"The stream's {pictures.shards} shards cannot be divided evenly among {readers} readers (processes × "
                "workers): each reads all of them and passes over what is the others'. Another number of workers may "
                "be faster.",
                stacklevel=2,
            )

    def _stage(self, steps: range, views: AugmentationSettings) -> Iterator[list[tuple[View, View]]]:
        if not self._known:
            raise CheckpointError(
                f"The checkpoint of step {steps.start} does not say how much of the stream was read. It was not made "
                "on a stream: begin a new run."
            )
        recipe = self._recipe
        chunks = chunk_sizes(recipe.batch_size, self._rank, self._processes, recipe.micro_batch_size)
        batches = StreamBatches(
            self._pictures,
            views,
            chunks=chunks,
            steps=steps,
            seed=recipe.seed,
            rank=self._rank,
            processes=self._processes,
            places=list(self._places),
        )
        handed = iter(reading_ahead(batches, recipe.workers, batch_size=None))
        for _ in steps:
            step = []
            for _ in chunks:
                sample, reader, place = next(handed)
                self._damage.note(damage_in(sample))
                self._places[reader] = Place(*place)  # of handed-out batches, not of those read ahead
                step.append((sample.first, sample.second))
            yield step

    def state_dict(self) -> dict[str, Any]:
        """Return the places of this process's readers after the last step handed out."""
        return {"processes": self._processes, "rank": self._rank, "places": [list(place) for place in self._places]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from saved places of this process's readers.

        Raises:
            CheckpointError: the number of processes or workers has changed, or the state is another process's.
        """
        places = state.get("places", [])
        if not places:
            return
        then, now = (state["processes"], len(places)), (self._processes, len(self._places))
        if then != now or state["rank"] != self._rank:
            raise CheckpointError(
                f"The run had {then[0]} processes with {then[1]} readers each, now {now[0]} with {now[1]}. A stream "
                "goes on with the same numbers only: set workers, and the number of processes, to what they were."
            )
        self._places = [Place(*place) for place in places]
        self._known = True
