"""Frameworks' own loaders with readers that end in order, and with errors of ours that cross from them as they are."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from sslhsic_transfer.data.readers import reading_ahead


def with_our_workers(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The same batches by readers of ours, which end with each pass over the data.

    Args:
        loader: as a framework builds it; one of an endless stream needs not say what becomes of its last batch.
    """
    if isinstance(loader.dataset, IterableDataset):
        batching: dict[str, Any] = {"batch_size": loader.batch_size}  # an error cuts a batch short, which must not go
    elif loader.batch_size is None:
        batching = {"batch_sampler": loader.batch_sampler}
    else:
        batching = {"batch_size": loader.batch_size, "sampler": loader.sampler, "drop_last": loader.drop_last}
    if loader.num_workers:
        batching |= {
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
        }
    ours = reading_ahead(
        loader.dataset,
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
