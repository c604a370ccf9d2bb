"""The order of pictures in training, which depends only on the seed, for any number of processes and resumes."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch.utils.data import Sampler

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError

# A request for an example: the picture's index, and the seed of its augmentation.
Example = tuple[int, int]


class StepSampler(Sampler[list[Example]]):
    """Sampler of one process's share of each global batch, from step ``start`` to the last.

    Pictures form one endless stream, shuffled anew each epoch. It is cut into batches without regard to the ends of
    epochs, so that all batches are full and no picture is left out.

    Args:
        pictures: size of the data set.
        batch_size: number of pictures in a global batch.
        start: number of steps already made.
        total_steps: number of steps of the run.
        seed: seed of order and views.
        rank: number of this process.
        processes: number of processes.
        micro_batch_size: largest number of pictures at a time; a share is divided into `chunks`. None: no division.
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
    """Check that every process gets the same number of micro-batches, and none of a single picture.

    Raises:
        ConfigError: processes would wait for one another, or batch normalization would get a single picture.
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
    """Compute the sizes of the micro-batches in a process's share of a step, which are equal but for a smaller last."""
    share = len(range(rank, batch_size, processes))
    size = max(1, min(micro_batch_size or share, share))
    return [min(size, share - start) for start in range(0, share, size)]
