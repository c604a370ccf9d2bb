"""Processes that read ahead of the one that computes."""

import atexit
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, default_convert

from sslhsic_transfer.data.storage import require_sound_machine
from sslhsic_transfer.errors import DataError, DeviceMemoryError, ImageError, ReaderError, SSLHSICError, StorageError

T = TypeVar("T")

# What reading may end a run with.
_READING_ERRORS = (DataError, DeviceMemoryError, ImageError, ReaderError, StorageError)
_SECONDS = 2.0  # within which the system tells that a process has ended whose connection broke
# How torch says that a reader is gone.
_DEATH = re.compile(r"DataLoader worker \(pid.*(exited unexpectedly|killed by signal)", re.DOTALL)


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


def saved_first(batches: Iterable[T], save: Callable[[], Path | None]) -> Iterator[T]:
    """Hand out batches; where reading them fails, save first what was reached.

    Args:
        batches: a loader's.
        save: saves the state after the last step and tells where, or None if it cannot.

    Raises:
        SSLHSICError: as raised by the loader; the message tells where the state is saved.
    """
    try:
        yield from batches
    except _READING_ERRORS as error:
        where = save()
        if where is None:
            raise
        raise type(error)(
            f"{error}\nThe steps before are saved in {where}: once this is mended, go on with --resume."
        ) from error


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a reader."""

    error: SSLHSICError


def _of_the_machine(error: MemoryError | OSError) -> SSLHSICError:
    """An error of ours for one of the machine; any other is raised."""
    try:
        require_sound_machine(error, getattr(error, "filename", None) or "the pictures")
    except SSLHSICError as found:
        return found
    raise error


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
        except (MemoryError, OSError) as error:
            return _Failure(_of_the_machine(error))


class _GuardedStream(IterableDataset[Any]):
    """The same of a stream, which ends there."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.dataset
        except SSLHSICError as error:
            yield _Failure(error)
        except (MemoryError, OSError) as error:
            yield _Failure(_of_the_machine(error))


class _Loader(DataLoader[Any]):
    """A loader that raises what its readers have failed with, and ends them when it is left, in whatever way.

    They ignore SIGTERM, by which multiprocessing would end them at exit and then wait for them.
    """

    def __iter__(self) -> Any:
        if not self.num_workers:
            yield from _raised(super().__iter__())
            return
        batches = super().__iter__()
        _hear_of_deaths_in_order()
        readers = _Readers(batches)
        try:
            yield from _raised(batches)
        except (RuntimeError, OSError, EOFError) as error:
            if isinstance(error, SSLHSICError) or not readers.died_of(error):
                raise
            raise ReaderError(
                "A process that reads pictures was killed, most likely because the machine's memory was full: lower "
                "workers or the batch size, and go on with --resume where the command has it."
            ) from error
        finally:
            readers.end()


class _Readers:
    """The processes of one pass over a loader, which end with it or with this process."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        atexit.register(self.end)  # before torch's own, which waits for readers that were not told to end
        self._finalizer = Finalize(None, self.end, exitpriority=100)  # the same in a child process, which has no atexit

    def died_of(self, error: Exception) -> bool:
        """Tell whether an error means that one of them is gone: torch says so, or a connection to it broke."""
        if isinstance(error, RuntimeError):
            return _DEATH.search(str(error)) is not None
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if any(reader.exitcode for reader in self._batches._workers):
                return True
            time.sleep(0.05)
        return False

    def end(self) -> None:
        """Tell them to end, and kill those that do not."""
        batches, self._batches = self._batches, None
        if batches is None:
            return
        batches._shutdown_workers()
        for reader in batches._workers:
            if reader.is_alive():
                reader.kill()
                reader.join(1)
        self._finalizer.cancel()
        atexit.unregister(self.end)


def _hear_of_deaths_in_order() -> None:
    """Keep torch from raising wherever the main thread is when a reader dies; asking for its batch raises, too."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    torchs = signal.getsignal(signal.SIGCHLD)
    if not callable(torchs) or isinstance(torchs, _InOrder):
        return
    signal.signal(signal.SIGCHLD, _InOrder(torchs))


@dataclass(frozen=True)
class _InOrder:
    """A handler of SIGCHLD that lets torch's note a death, but not raise."""

    torchs: Callable[[int, FrameType | None], Any]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):
            self.torchs(number, frame)


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
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the loader ends them
    if yielding and hasattr(os, "nice"):
        os.nice(19)
