"""Processes that read ahead of the one that computes."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, default_convert

from sslhsic_transfer.errors import SSLHSICError


def reading_ahead(
    dataset: Dataset[Any], workers: int, *, pinned: bool | None = None, **batching: Any
) -> DataLoader[Any]:
    """Make a loader whose workers know their place; an error of ours crosses from them as it is, without a traceback.

    Args:
        dataset: what is read.
        workers: processes that read; 0 reads in this one.
        pinned: whether batches come in memory from which a GPU copies while the host goes on; None: where there is one.
        batching: how `DataLoader` makes batches of examples.
    """
    collate = batching.pop("collate_fn", None)
    if collate is None:
        collate = default_convert if batching.get("batch_size", 1) is None else default_collate
    guarded = _GuardedStream(dataset) if isinstance(dataset, IterableDataset) else _Guarded(dataset)
    return _Loader(
        guarded,
        collate_fn=partial(_collated, collate),
        num_workers=workers,
        pin_memory=torch.cuda.is_available() if pinned is None else pinned,
        worker_init_fn=partial(begin_worker, yielding=not torch.accelerator.is_available()),
        **batching,
    )


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a reader."""

    error: SSLHSICError


class _Guarded(Dataset[Any]):
    """A data set that gives an error of ours in place of the example."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        try:
            return self.dataset[index]
        except SSLHSICError as error:
            return _Failure(error)


class _GuardedStream(IterableDataset[Any]):
    """The same of a stream, which ends there."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.dataset
        except SSLHSICError as error:
            yield _Failure(error)


class _Loader(DataLoader[Any]):
    """A loader that raises what its readers have failed with."""

    def __iter__(self) -> Any:
        return _raised(super().__iter__())


def _raised(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, _Failure):
            raise batch.error
        yield batch


def _collated(collate: Callable[[Any], Any], examples: Any) -> Any:
    """A batch, or the first failure in it; without batching, the one example."""
    found = examples if isinstance(examples, list) else [examples]
    failure = next((example for example in found if isinstance(example, _Failure)), None)
    return collate(examples) if failure is None else failure


def begin_worker(_: int, *, yielding: bool) -> None:
    """Leave signals to the process that computes and, where the network runs on the processor, that, too.

    A reader that takes a core from one of the network's threads makes all of them wait; with a low priority it works
    while they wait for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _obey_only_parent()
    if yielding and hasattr(os, "nice"):
        os.nice(19)


def _obey_only_parent() -> None:
    """End at a SIGTERM of the parent alone.

    A signal to the whole group is the parent's affair, which still wants batches; but multiprocessing ends the workers
    that remain at exit by a SIGTERM and waits for them: one that ignored it would be waited for without end. Where the
    sender cannot be told, torch's own handler stays.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_await_parent, args=(os.getppid(),), daemon=True).start()


def _await_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
