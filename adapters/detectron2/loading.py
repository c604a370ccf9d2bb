"""Loaders that read pictures with this library's reader; with a seed, batches depend only on the iteration.

A run can therefore be stopped and resumed.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.adapters.detectron2.mapper import PictureMapper
from sslhsic_transfer.adapters.loading import with_our_workers
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.errors import ConfigError, DataError

Entry = Mapping[str, Any]


def build_train_loader(cfg: CfgNode, start: int = 0) -> Iterable[list[dict[str, Any]]]:
    """Build an endless loader of batches from an iteration on, for any trainer.

    Args:
        cfg: settings of the run. With SEED ≥ 0 a batch depends only on the seed and its iteration, for any number of
            reading processes; pictures of similar aspect ratio are not grouped, as groups would not survive a restart.
            With SEED < 0 these are Detectron2's own loaders with this library's reader of pictures.
        start: the first iteration; ignored without a seed.

    Raises:
        DataError: no picture has an object.
        ConfigError: settings do not go together.
    """
    mapper = PictureMapper(cfg, is_train=True)
    pictures = _training_entries(cfg)
    if cfg.SEED < 0:
        return _ending_in_order(build_detection_train_loader(cfg, mapper=mapper, dataset=pictures))
    processes, size = comm.get_world_size(), cfg.SOLVER.IMS_PER_BATCH
    if size < 1 or size % processes:
        raise ConfigError(f"SOLVER.IMS_PER_BATCH: got {size}; expected a multiple of the {processes} processes.")
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: got {cfg.DATALOADER.SAMPLER_TRAIN!r}; with SEED ≥ 0 expected TrainingSampler. "
            "SEED -1 takes the others."
        )
    return reading_ahead(
        Draws(pictures, SeededMapper(mapper, cfg.SEED)),
        cfg.DATALOADER.NUM_WORKERS,
        pinned=False,
        sampler=DrawSampler(len(pictures), cfg.SEED, start * size),
        batch_size=size // processes,
        drop_last=True,
        collate_fn=_as_they_are,
        generator=torch.Generator(),  # torch's default would draw another number in a resumed run
    )


def build_test_loader(cfg: CfgNode, name: str) -> Iterable[list[dict[str, Any]]]:
    """Build a loader of a registered data set's single pictures, for Detectron2's evaluators.

    Args:
        cfg: settings of the network.
        name: name in Detectron2's catalog.
    """
    mapper = PictureMapper(cfg, is_train=False)
    return _ending_in_order(build_detection_test_loader(cfg, name, mapper=mapper))


def _training_entries(cfg: CfgNode) -> Sequence[Entry]:
    files = cfg.DATASETS.PROPOSAL_FILES_TRAIN if cfg.MODEL.LOAD_PROPOSALS else None
    if files is not None and len(files) != len(cfg.DATASETS.TRAIN):
        raise ConfigError(
            f"DATASETS.PROPOSAL_FILES_TRAIN: got {len(files)} files for {len(cfg.DATASETS.TRAIN)} data sets; expected "
            "one each, or MODEL.LOAD_PROPOSALS False."
        )
    try:
        entries: Sequence[Entry] = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN,
            filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
            min_keypoints=cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE if cfg.MODEL.KEYPOINT_ON else 0,
            proposal_files=files,
        )
    except AssertionError as error:
        raise DataError(f"No picture of {', '.join(cfg.DATASETS.TRAIN)} has an object to learn from.") from error
    return entries


def _ending_in_order(loader: Any) -> Any:
    """Give a loader of Detectron2, or the one inside a grouping wrapper, this library's readers."""
    if isinstance(loader, DataLoader):
        return with_our_workers(loader)
    if isinstance(getattr(loader, "dataset", None), DataLoader):
        loader.dataset = with_our_workers(loader.dataset)
    return loader


def _as_they_are(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return examples


class Draws(Dataset[Any]):
    """Data set of pictures by the number of their draw: ``epoch · len(pictures) + picture``.

    Args:
        pictures: entries of a data set.
        mapper: function from an entry to a network's input; it finds the number under "draw".
    """

    def __init__(self, pictures: Sequence[Entry], mapper: Callable[[Entry], Any]) -> None:
        self.pictures, self.mapper = pictures, mapper

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: int) -> Any:
        return self.mapper({**self.pictures[draw % len(self.pictures)], "draw": draw})


class DrawSampler(Sampler[int]):
    """Sampler of draw numbers, in another order in every epoch, from a position of the endless sequence on.

    Args:
        size: number of pictures.
        seed: seed of the order.
        start: number of draws that all processes together have made before.
    """

    def __init__(self, size: int, seed: int, start: int) -> None:
        self.size, self.seed, self.start = size, seed, start

    def __iter__(self) -> Iterator[int]:
        """Return this process's draws: with n processes every n-th."""
        return islice(self._draws(), self.start % self.size + comm.get_rank(), None, comm.get_world_size())

    def _draws(self) -> Iterator[int]:
        epoch = self.start // self.size
        while True:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
            order = torch.randperm(self.size, generator=generator)
            yield from (order + epoch * self.size).tolist()
            epoch += 1


class SeededMapper:
    """Mapper whose random numbers depend only on the seed and the draw.

    Args:
        mapper: mapper that reads a picture and augments it at random.
        seed: seed of the run.
    """

    def __init__(self, mapper: Callable[[Entry], Any], seed: int) -> None:
        self.mapper, self.seed = mapper, seed

    def __call__(self, entry: Entry) -> Any:
        """Prepare one picture for the network."""
        with _numbers_of(mix_seed(self.seed, entry["draw"])):
            return self.mapper(entry)


@contextmanager
def _numbers_of(seed: int) -> Iterator[None]:
    """Seed Python's and NumPy's generators, which Detectron2 draws from, and restore them afterwards."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes 32 bits
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
