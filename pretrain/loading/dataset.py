"""Data set of two views of each picture, whose order and randomness depend only on seed, epoch and picture.

The global batch of a step is therefore the same for any number of processes and workers, and after a resume.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import Dataset

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.storage import require_folder
from sslhsic_transfer.errors import DataError, ImageError
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import View, two_views
from sslhsic_transfer.training.sampler import Example

_ATTEMPTS = 10


class Sample(NamedTuple):
    """The views of one picture, or of a batch when collated.

    Attributes:
        first: the first view.
        second: the second view.
        damage: JSON list of [name, reason] of the pictures that could not be read before this one; usually empty.
    """

    first: View
    second: View
    damage: str


def damage_in(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield name and reason of each picture that could not be read, from a collated sample."""
    for entries in sample.damage:
        yield from json.loads(entries)


class TwoViewDataset(Dataset[Sample]):
    """Data set of two random views of each picture, looked up by picture number and seed.

    A picture that cannot be read is replaced by another, the same in every run with that seed.

    Args:
        pictures: the pictures to read.
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
    """Yield the number of a picture, then those of its replacements if it cannot be read; ten in all."""
    yield index
    for attempt in range(_ATTEMPTS - 1):
        yield mix_seed(seed, attempt) % pictures
