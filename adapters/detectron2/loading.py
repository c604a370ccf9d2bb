"""Training batches that follow from the seed and the iteration alone, so that a run may stop and go on."""

import copy
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, build_detection_train_loader, get_detection_dataset_dicts, transforms
from detectron2.utils import comm
from torch.utils.data import Dataset, Sampler

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import DataError


def train_loader(cfg: CfgNode, start: int) -> Iterable[list[dict[str, Any]]]:
    """Batches from an iteration on, without end.

    Args:
        cfg: of the run; pictures of like proportions are not grouped, as a group would have to survive a restart.
        start: the iteration that comes first.

    Raises:
        DataError: no picture has an object.
    """
    try:
        pictures = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    except AssertionError as error:
        raise DataError(f"No picture of {', '.join(cfg.DATASETS.TRAIN)} has an object to learn from.") from error
    return build_detection_train_loader(  # type: ignore[no-any-return]
        dataset=Draws(pictures),
        sampler=DrawSampler(len(pictures), cfg.SEED, start * cfg.SOLVER.IMS_PER_BATCH),
        mapper=SeededMapper(PictureMapper(cfg, is_train=True), cfg.SEED),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


class Draws(Dataset[dict[str, Any]]):
    """Pictures by the number of their draw: ``epoch · len(pictures) + picture``."""

    def __init__(self, pictures: Sequence[dict[str, Any]]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: int) -> dict[str, Any]:
        return self.pictures[draw % len(self.pictures)] | {"draw": draw}


class DrawSampler(Sampler[int]):
    """Numbers of draws, every epoch in another order, from a place of the endless sequence on.

    Args:
        size: how many pictures there are.
        seed: of the order.
        start: how many draws all processes together have made before.
    """

    def __init__(self, size: int, seed: int, start: int) -> None:
        self.size, self.seed, self.start = size, seed, start

    def __iter__(self) -> Iterator[int]:
        """Draws of this process: with n processes every n-th."""
        return islice(self._draws(), self.start % self.size + comm.get_rank(), None, comm.get_world_size())

    def _draws(self) -> Iterator[int]:
        epoch = self.start // self.size
        while True:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
            order = torch.randperm(self.size, generator=generator)
            yield from (order + epoch * self.size).tolist()
            epoch += 1


class PictureMapper(DatasetMapper):
    """Detectron2's mapper for boxes and masks of objects, with pictures read as `load_image` does."""

    def __call__(self, entry: dict[str, Any]) -> dict[str, Any]:
        """One picture, (3, H, W) uint8 in INPUT.FORMAT, and its objects.

        Raises:
            ImageError: the picture cannot be read.
            DataError: it has another size than its annotations say.
        """
        entry = copy.deepcopy(entry)  # the data set's
        pixels = np.asarray(load_image(entry["file_name"]))
        height, width = pixels.shape[:2]
        told = entry.setdefault("width", width), entry.setdefault("height", height)
        if told != (width, height):
            raise DataError(
                f"{entry['file_name']} has {width} × {height} pixels, its annotations say {told[0]} × {told[1]}; "
                "expected the same size."
            )
        changed = transforms.AugInput(pixels[..., ::-1] if self.image_format == "BGR" else pixels)
        applied = self.augmentations(changed)
        entry["image"] = torch.as_tensor(np.ascontiguousarray(changed.image.transpose(2, 0, 1)))
        if self.is_train and "annotations" in entry:
            self._transform_annotations(entry, applied, changed.image.shape[:2])
        entry.pop("annotations", None)
        return entry


class SeededMapper:
    """Detectron2's mapper with random numbers that follow from the seed and the draw.

    Args:
        mapper: reads a picture and changes it at random.
        seed: of the run.
    """

    def __init__(self, mapper: DatasetMapper, seed: int) -> None:
        self.mapper, self.seed = mapper, seed

    def __call__(self, entry: dict[str, Any]) -> Any:
        """One picture as the network gets it."""
        with _numbers_of(mix_seed(self.seed, entry["draw"])):
            return self.mapper(entry)


@contextmanager
def _numbers_of(seed: int) -> Iterator[None]:
    """Seed Python's and numpy's generators, which Detectron2 draws from, and put them back."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # all that it takes
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
