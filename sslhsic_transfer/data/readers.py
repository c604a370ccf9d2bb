"""Loaders whose worker processes read ahead of the training process."""

import atexit
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
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

# Errors of reading that may end a run.
_READING_ERRORS = (DataError, DeviceMemoryError, ImageError, ReaderError, StorageError)
_SECONDS = 2.0  # time for the system to report the exit of a process whose connection broke
# Torch's messages that a worker process has died.
_DEATH = re.compile(r"DataLoader worker \(pid.*(exited unexpectedly|killed by signal)", re.DOTALL)


def reading_ahead(
    dataset: Dataset[Any], workers: int, *, pinned: bool | None = None, **batching: Any
) -> DataLoader[Any]:
    """Make a loader whose workers leave signals and cores to this process, and pass on this library's errors unchanged.

    Args:
        dataset: the data set to read.
        workers: number of processes that read; 0: this process reads.
        pinned: whether batches are in pinned memory, from which a GPU copies asynchronously; None: if there is a GPU.
        batching: options of `DataLoader` for batches.
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
    """Yield batches; if reading them fails, save the state before the error is raised.

    Args:
        batches: batches of a loader.
        save: function that saves the state after the last step and returns its path, or None if it cannot.

    Raises:
        SSLHSICError: as raised by the loader; the message names the saved state.
    """
    with saving_first(save):
        yield from batches


@contextmanager
def saving_first(save: Callable[[], Path | None]) -> Iterator[None]:
    """Save the state if reading fails within the block, before the error is raised; see `saved_first`.

    Raises:
        SSLHSICError: as raised in the block; the message names the saved state.
    """
    try:
        yield
    except _READING_ERRORS as error:
        where = save()
        if where is None:
            raise
        raise type(error)(
            f"{error}\nThe steps before are saved in {where}: once this is mended, go on with --resume."
        ) from error


@dataclass(frozen=True)
class _Failure:
    """An error that a worker passes to the main process."""

    error: SSLHSICError


def _of_the_machine(error: MemoryError | OSError) -> SSLHSICError:
    """Convert an error of the machine to one of this library; raise any other."""
    try:
        require_sound_machine(error, getattr(error, "filename", None) or "the pictures")
    except SSLHSICError as found:
        return found
    raise error


class _Guarded(Dataset[Any]):
    """Data set that returns this library's errors instead of raising them."""

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
    """Stream that ends with an error of this library instead of raising it."""

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
    """Loader that raises the errors of its workers, and stops them whenever the iteration ends.

    Workers ignore SIGTERM, by which multiprocessing would stop them at exit and then wait for them.
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
    """The worker processes of one pass over a loader, which stop with it or with this process."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        atexit.register(self.end)  # before torch's own, which waits for workers that were not told to stop
        self._finalizer = Finalize(None, self.end, exitpriority=100)  # the same for child processes without atexit

    def died_of(self, error: Exception) -> bool:
        """Check if an error means that a worker died, by torch's message or by its exit after a broken connection."""
        if isinstance(error, RuntimeError):
            return _DEATH.search(str(error)) is not None
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if any(reader.exitcode for reader in self._batches._workers):
                return True
            time.sleep(0.05)
        return False

    def end(self) -> None:
        """Tell the workers to stop, and kill those that do not."""
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
    """Keep torch from raising at an arbitrary point when a worker dies; reading that worker's batch raises anyway."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    torchs = signal.getsignal(signal.SIGCHLD)
    if not callable(torchs) or isinstance(torchs, _InOrder):
        return
    signal.signal(signal.SIGCHLD, _InOrder(torchs))


@dataclass(frozen=True)
class _InOrder:
    """Handler of SIGCHLD that lets torch's handler note a death, but not raise."""

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
    """Collate examples to a batch, or return the first failure among them; without batching, there is one example."""
    found = examples if isinstance(examples, list) else [examples]
    failure = next((example for example in found if isinstance(example, _Failure)), None)
    return collate(examples) if failure is None else failure


def begin_worker(_: int, *, yielding: bool) -> None:
    """Make a worker ignore signals and, if the network runs on the CPU, lower its priority.

    A worker that takes a core from one of the network's threads makes all of them wait. With a low priority, it works
    while they wait for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the loader stops them
    if yielding and hasattr(os, "nice"):
        os.nice(19)
