"""Readers for the loaders of other frameworks, which stop cleanly and pass on this library's errors unchanged."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from sslhsic_transfer.data.readers import reading_ahead


def with_our_workers(
    loader: DataLoader[Any], *, dataset: Dataset[Any] | None = None, sampler: Sampler[Any] | None = None
) -> DataLoader[Any]:
    """Make a loader of the same batches with this library's readers, which stop after each pass over the data.

    Args:
        loader: the loader that a framework builds; ``drop_last`` is ignored for an iterable data set.
        dataset: data set in the place of the loader's.
        sampler: sampler in the place of the loader's, if that has one and no sampler of batches.
    """
    if isinstance(loader.dataset, IterableDataset):
        batching: dict[str, Any] = {"batch_size": loader.batch_size}  # a batch cut short by an error must be kept
    elif loader.batch_size is None:
        batching = {"batch_sampler": loader.batch_sampler}
    else:
        batching = {
            "batch_size": loader.batch_size,
            "sampler": sampler or loader.sampler,
            "drop_last": loader.drop_last,
        }
    if loader.num_workers:
        batching |= {
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
        }
    ours = reading_ahead(
        dataset or loader.dataset,
        loader.num_workers,
        pinned=loader.pin_memory,
        collate_fn=loader.collate_fn,
        timeout=loader.timeout,
        generator=loader.generator,
        **batching,
    )
    beginnings = (ours.worker_init_fn, loader.worker_init_fn)
    ours.worker_init_fn = partial(_begin, tuple(begin for begin in beginnings if begin is not None))
    return ours


def _begin(beginnings: tuple[Callable[[int], None], ...], number: int) -> None:
    for begin in beginnings:
        begin(number)
