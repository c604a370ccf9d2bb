"""Streams: pictures that can only be read one after another, not by number."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.sources.encoded import import_datasets, name_encoded, open_encoded


@dataclass(frozen=True)
class StreamedPicture:
    """One encoded picture of a stream.

    Attributes:
        value: its ``bytes`` and ``path``.
    """

    value: Mapping[str, Any] | None

    def open(self) -> Image.Image:
        """Open the picture, not yet decoded.

        Raises:
            ImageError: the picture cannot be read.
        """
        return open_encoded(self.value, self.name)

    @property
    def name(self) -> str:
        """The picture's name for the user."""
        return name_encoded(self.value)


@dataclass(frozen=True)
class Stream:
    """A streamed data set, which several readers share.

    Attributes:
        dataset: a `datasets.IterableDataset` with the single column ``image``, not decoded.
        image: the name of the column.
        length: number of pictures in an epoch.
        buffer: number of pictures in a reader's shuffle buffer.
        classes: always empty, as a stream's labels are not read.
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
        """Number of parts, such as files, that can be read independently."""
        return int(self.dataset.num_shards)

    def read(self, epoch: int, *, seed: int, reader: int, readers: int) -> Iterator[StreamedPicture]:
        """Read one reader's part of an epoch, shuffled; the result depends only on the arguments.

        The readers' parts of an epoch are disjoint and together hold all pictures. If ``readers`` divides the number of
        shards, each reads its own shards; otherwise each reads all and skips the pictures of the others.
        """
        shuffled = self.dataset.shuffle(seed=mix_seed(seed, epoch), buffer_size=self.buffer)
        part = import_datasets("datasets.distributed").split_dataset_by_node(shuffled, rank=reader, world_size=readers)
        # Not iter(part), which would be divided among workers once more in a worker process.
        batches = part.iter(batch_size=1)
        return map(StreamedPicture, itertools.chain.from_iterable(batch[self.image] for batch in batches))
