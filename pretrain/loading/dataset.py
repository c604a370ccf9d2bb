"""Pictures to batches of two views, in an order and with randomness that depend on nothing but seed, epoch and picture.

The global batch of a step is therefore the same for any number of processes and workers, and after a resume.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer._storage import require_folder
from sslhsic_transfer.errors import ConfigError, DataError, ImageError
from sslhsic_transfer.images import Pictures
from sslhsic_transfer.pretrain.recipe import AugmentationSettings
from sslhsic_transfer.pretrain.views import View, two_views

# What a worker is told of one example: which picture, and the seed of its views.
Example = tuple[int, int]
_ATTEMPTS = 10


class Sample(NamedTuple):
    """What is read of one picture; of a batch, collated.

    Attributes:
        first: the first view.
        second: the second view.
        damage: JSON list of [name, reason] of the pictures that could not be read before this one; mostly none.
    """

    first: View
    second: View
    damage: str


def damage_in(sample: Sample) -> Iterator[tuple[str, str]]:
    """Name and reason of each picture that could not be read, of a collated sample."""
    for entries in sample.damage:
        yield from json.loads(entries)


class TwoViewDataset(Dataset[Sample]):
    """Two views of picture ``index``, random by ``seed``.

    In place of a picture that cannot be read comes another, the same in every run of that seed.

    Args:
        pictures: where pictures come from.
        settings: the augmentations.
    """

    def __init__(self, pictures: Pictures, settings: AugmentationSettings) -> None:
        self.pictures = pictures
        self.settings = settings

    def __getitem__(self, example: Example) -> Sample:
        """Read, crop, resize and flip one picture.

        Raises:
            DataError: ten pictures in a row cannot be read.
        """
        index, seed = example
        damage: list[tuple[str, str]] = []
        for candidate in candidates(index, seed, len(self.pictures)):
            try:
                return Sample(*self._views(candidate, seed), json.dumps(damage))
            except ImageError as error:
                require_folder(error)
                damage.append((self.pictures.name(candidate), str(error)))
        raise DataError(f"{len(damage)} pictures in a row cannot be read, at last {damage[-1][0]}: {damage[-1][1]}")

    def _views(self, index: int, seed: int) -> tuple[View, View]:
        with self.pictures.open(index) as image:
            return two_views(image, seed, self.settings)


def candidates(index: int, seed: int, pictures: int) -> Iterator[int]:
    """Number a picture and those that take its place, one after another, where it cannot be read; ten in all."""
    yield index
    for attempt in range(_ATTEMPTS - 1):
        yield mix_seed(seed, attempt) % pictures


class StepSampler(Sampler[list[Example]]):
    """One process's share of each global batch, from step ``start`` to the last.

    Pictures come in one endless stream, shuffled anew each epoch, and are cut into batches without regard to where an
    epoch ends: all batches are whole and no picture is left out.

    Args:
        pictures: size of the data set.
        batch_size: pictures of a global batch.
        start: steps already made.
        total_steps: steps of the run.
        seed: seed of order and views.
        rank: which process.
        processes: how many there are.
        micro_batch_size: at most so many pictures at a time; a share comes in `chunks` of them. None: at once.
    """

    def __init__(
        self,
        pictures: int,
        batch_size: int,
        *,
        start: int,
        total_steps: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        micro_batch_size: int | None = None,
    ) -> None:
        self.pictures = pictures
        self.batch_size = batch_size
        self.steps = range(start, total_steps)
        self.seed = seed
        self.share = slice(rank, None, processes)
        self.chunks = chunk_sizes(batch_size, rank, processes, micro_batch_size)

    def __len__(self) -> int:
        return len(self.steps) * len(self.chunks)

    def __iter__(self) -> Iterator[list[Example]]:
        orders: dict[int, list[int]] = {}
        for step in self.steps:
            positions = range(step * self.batch_size, (step + 1) * self.batch_size)
            epochs = range(positions[0] // self.pictures, positions[-1] // self.pictures + 1)
            orders = {epoch: orders.get(epoch) or self._order(epoch) for epoch in epochs}
            batch = []
            for position in positions[self.share]:
                epoch, place = divmod(position, self.pictures)
                index = orders[epoch][place]
                batch.append((index, mix_seed(self.seed, epoch, index)))
            examples = iter(batch)
            for size in self.chunks:
                yield list(islice(examples, size))

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        order: list[int] = torch.randperm(self.pictures, generator=generator).tolist()
        return order


def check_shares(batch_size: int, processes: int, micro_batch_size: int | None) -> None:
    """Whether every process gets as many micro-batches of a step as the others, and none of a single picture.

    Raises:
        ConfigError: they would wait for one another, or batch normalisation has nothing to normalise by.
    """
    shares = [chunk_sizes(batch_size, rank, processes, micro_batch_size) for rank in range(processes)]
    counts = sorted({len(share) for share in shares})
    least = min(min(share, default=0) for share in shares)
    if len(counts) == 1 and least > 1:
        return
    over = f" over {processes} processes" if processes > 1 else ""
    micro = f" and micro_batch_size={micro_batch_size}" if micro_batch_size else ""
    raise ConfigError(
        f"Got batch_size={batch_size}{micro}{over}: a process gets {' or '.join(map(str, counts))} micro-batches, the "
        f"smallest of {least} pictures; expected as many for each process, of two pictures or more. Choose a "
        f"batch_size that is a multiple of {processes * max(2, micro_batch_size or 2)}."
    )


def chunk_sizes(batch_size: int, rank: int, processes: int, micro_batch_size: int | None) -> list[int]:
    """How many pictures each micro-batch of a process's share of a step holds: alike, but for a smaller last one."""
    share = len(range(rank, batch_size, processes))
    size = max(1, min(micro_batch_size or share, share))
    return [min(size, share - start) for start in range(0, share, size)]
