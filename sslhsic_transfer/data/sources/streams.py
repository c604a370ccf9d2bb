"""Streams: pictures that come one after another and cannot be asked for by number."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.sources.encoded import import_datasets, name_encoded, open_encoded


@dataclass(frozen=True)
class StreamedPicture:
    """One picture of a stream, its content still encoded.

    Attributes:
        value: ``bytes`` and ``path``.
    """

    value: Mapping[str, Any] | None

    def open(self) -> Image.Image:
        """The picture, not yet decoded.

        Raises:
            ImageError: it cannot be read.
        """
        return open_encoded(self.value, self.name)

    @property
    def name(self) -> str:
        """What the user finds it by."""
        return name_encoded(self.value)


@dataclass(frozen=True)
class Stream:
    """A streamed data set, which several readers share.

    Attributes:
        dataset: a `datasets.IterableDataset` with the one column ``image``, not decoded.
        image: the name of the column.
        length: pictures of an epoch.
        buffer: how many pictures a reader holds at once, to shuffle them.
        classes: none: a stream's labels are not read.
    """

    dataset: Any
    image: str
    length: int
    buffer: int = 1000
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.length

    @property
    def shards(self) -> int:
        """How many files, or the like, can be read independently of one another."""
        return int(self.dataset.num_shards)

    def read(self, epoch: int, *, seed: int, reader: int, readers: int) -> Iterator[StreamedPicture]:
        """One reader's part of an epoch, shuffled: a function of these numbers alone.

        The readers' parts of an epoch have no picture in common and together hold all. Where ``readers`` divides the
        number of shards, each reads its own ones; else all read all, and skip what is the others'.
        """
        shuffled = self.dataset.shuffle(seed=mix_seed(seed, epoch), buffer_size=self.buffer)
        part = import_datasets("datasets.distributed").split_dataset_by_node(shuffled, rank=reader, world_size=readers)
        # Not iter(part): in a worker process, that would be divided among the workers once more.
        batches = part.iter(batch_size=1)
        return map(StreamedPicture, itertools.chain.from_iterable(batch[self.image] for batch in batches))
