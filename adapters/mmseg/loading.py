"""Mmengine's loaders with readers that end in order, and with errors of ours that cross from them as they are."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

from sslhsic_transfer._workers import reading_ahead


def with_our_workers(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The same batches by readers of ours.

    Args:
        loader: as mmengine builds it. Its readers do not outlive a pass over the data.
    """
    if loader.batch_size is None:
        batching: dict[str, Any] = {"batch_sampler": loader.batch_sampler}
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
    wrapper: Any = ours.dataset
    wrapper.metainfo = getattr(loader.dataset, "metainfo", None)  # mmengine asks loaders for the classes
    return ours


def _begin(beginnings: tuple[Callable[[int], None], ...], number: int) -> None:
    for begin in beginnings:
        begin(number)
