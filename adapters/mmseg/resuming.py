"""Parts that let a resumed run continue as if never stopped: random numbers by place, and whole checkpoints."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from torch.utils.data import Dataset, Sampler

from sslhsic_transfer._seeds import mix_seed

CHECKPOINT = "iter_{}.pth"  # mmengine's name, with the number of steps made


class Numbered(NamedTuple):
    """An example's number in the data, and its place in the order in which a process sees examples."""

    number: int
    place: int


class NumberedSampler(Sampler[Numbered]):
    """The indices of an infinite sampler with their places, which can begin at any of them."""

    def __init__(self, sampler: Sampler[int]) -> None:
        self.sampler = sampler
        self.start = 0

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type] # mmengine's have a length

    def __iter__(self) -> Iterator[Numbered]:
        yield from islice((Numbered(index, place) for place, index in enumerate(self.sampler)), self.start, None)

    def skip(self, num_samples: int) -> None:
        """Begin after this many examples; mmengine calls it to resume."""
        self.start = num_samples


class SeededExamples(Dataset[Any]):
    """Examples of a data set whose augmentation depends on a seed and on their place only."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.rank = get_rank()  # readers may not know it

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, numbered: Numbered) -> Any:
        with _seeded(mix_seed(self.seed, self.rank, numbered.place)):
            return self.dataset[numbered.number]


class StepSeedHook(Hook):  # type: ignore[misc]
    """Hook by which the random numbers of a step, such as those of dropout, depend on seed and iteration only."""

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the step."""
        if runner.seed is not None:
            _seed(mix_seed(runner.seed, get_rank(), runner.iter))


class LatestCheckpointHook(Hook):  # type: ignore[misc]
    """Hook that saves a run of `SSLHSICRunner` regularly and at its end, and then removes the checkpoints before.

    Mmengine's own removes them first, so that a full disk leaves none.

    Args:
        every: number of iterations between checkpoints.
    """

    priority = "VERY_LOW"  # after the schedules, whose state is saved

    def __init__(self, every: int) -> None:
        self.every = every

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save the state after this iteration if it is due."""
        if self.every_n_train_iters(runner, self.every) or self.is_last_train_iter(runner):
            saved = runner.save_step(runner.iter + 1)
            for path in checkpoints(saved.parent):
                if path != saved:
                    path.unlink()


def checkpoints(folder: Path) -> list[Path]:
    """List a folder's checkpoints from the first to the latest step."""
    numbers = (path.stem.rpartition("_")[2] for path in folder.glob(CHECKPOINT.format("*")))
    return [folder / CHECKPOINT.format(number) for number in sorted(map(int, filter(str.isdecimal, numbers)))]


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all random numbers of pipelines within the block, and restore them afterwards."""
    pythons, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        _seed(seed)
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)
