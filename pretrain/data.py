"""Pictures to batches of two views, in an order and with randomness that depend on nothing but seed, epoch and picture.

The global batch of a step is therefore the same for any number of processes and workers, and after a resume.
"""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import DataError, ImageError
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.pretrain.damage import DamageRecord
from sslhsic_transfer.pretrain.recipe import AugmentationSettings, Recipe
from sslhsic_transfer.pretrain.views import View, two_views

# What a worker is told of one example: which picture, and the seed of its views.
Example = tuple[int, int]


@dataclass(frozen=True)
class PretrainingData:
    """Pictures to train on and, where there are labels, to watch the run with.

    Attributes:
        name: of the data set: of its folder.
        train: the pictures to train on.
        validation: labelled pictures for the online k-NN; None: those of ``train`` query one another.
    """

    name: str
    train: ImageFolder
    validation: ImageFolder | None


def find_data(directory: str | Path) -> PretrainingData:
    """Understand a data folder: ``train/`` and ``val/`` in it, or class folders, or just pictures.

    A ``test/`` folder is never touched.

    Raises:
        DataError: no pictures.
    """
    directory = Path(directory)
    name = directory.resolve().name
    if not (directory / "train").is_dir():
        return PretrainingData(name, ImageFolder.scan(directory), None)
    train = ImageFolder.scan(directory / "train")
    has_validation = bool(train.classes) and (directory / "val").is_dir()
    validation = ImageFolder.scan(directory / "val", labelled=True) if has_validation else None
    if validation and validation.classes != train.classes:
        raise DataError(
            f"{directory}: train/ has the classes {', '.join(train.classes)}; val/ {', '.join(validation.classes)}. "
            "Expected the same."
        )
    return PretrainingData(name, train, validation)


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


class TwoViewDataset(Dataset[Sample]):
    """Two views of picture ``index``, random by ``seed``.

    In place of a picture that cannot be read comes another, the same in every run of that seed.

    Args:
        pictures: where pictures come from.
        settings: the augmentations.
    """

    _ATTEMPTS = 10

    def __init__(self, pictures: ImageFolder, settings: AugmentationSettings) -> None:
        self.pictures = pictures
        self.settings = settings

    def __getitem__(self, example: Example) -> Sample:
        """Read, crop, resize and flip one picture.

        Raises:
            DataError: ten pictures in a row cannot be read.
        """
        index, seed = example
        damage: list[tuple[str, str]] = []
        for attempt in range(self._ATTEMPTS):
            try:
                with self.pictures.open(index) as image:
                    return Sample(*two_views(image, seed, self.settings), json.dumps(damage))
            except ImageError as error:
                damage.append((self.pictures.name(index), str(error)))
                index = mix_seed(seed, attempt) % len(self.pictures)
        raise DataError(f"{self._ATTEMPTS} pictures in a row cannot be read, at last {damage[-1][0]}: {damage[-1][1]}")


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
        micro_batch_size: at most so many pictures at a time; a share comes in `chunks_per_step` of them. None: at once.
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
        share = len(range(batch_size)[self.share])
        self.micro_batch_size = min(micro_batch_size or share, share)
        self.chunks_per_step = -(-share // self.micro_batch_size)

    def __len__(self) -> int:
        return len(self.steps) * self.chunks_per_step

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
            for start in range(0, len(batch), self.micro_batch_size):
                yield batch[start : start + self.micro_batch_size]

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        order: list[int] = torch.randperm(self.pictures, generator=generator).tolist()
        return order


class StepLoader:
    """The steps that remain, each a list of micro-batches of two `View`; workers start once, for all epochs.

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
        pictures: ImageFolder,
        recipe: Recipe,
        *,
        start: int,
        total_steps: int,
        damage: DamageRecord,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._sampler = StepSampler(
            len(pictures),
            recipe.batch_size,
            start=start,
            total_steps=total_steps,
            seed=recipe.seed,
            rank=rank,
            processes=processes,
            micro_batch_size=recipe.micro_batch_size,
        )
        self._loader = DataLoader(
            TwoViewDataset(pictures, recipe.augmentation),
            batch_sampler=self._sampler,
            num_workers=recipe.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=partial(_begin_worker, yielding=not torch.accelerator.is_available()),
        )
        self._damage = damage

    def __iter__(self) -> Iterator[list[tuple[View, View]]]:
        samples = iter(self._loader)
        for _ in self._sampler.steps:
            step = [next(samples) for _ in range(self._sampler.chunks_per_step)]
            self._damage.note(entry for sample in step for damage in sample.damage for entry in json.loads(damage))
            yield [(sample.first, sample.second) for sample in step]


def _begin_worker(_: int, *, yielding: bool) -> None:
    """Leave signals to the training process and, where that is what trains, the processor, too.

    A reader that takes a core from one of the training threads makes all of them wait; with a low priority it works
    while they wait for it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if yielding and hasattr(os, "nice"):
        os.nice(19)
