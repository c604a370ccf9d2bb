"""Processes that read ahead of the one that computes."""

import os
import signal
import threading
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


def reading_ahead(
    dataset: Dataset[Any], workers: int, *, pinned: bool | None = None, **batching: Any
) -> DataLoader[Any]:
    """Make a loader whose workers know their place.

    Args:
        dataset: what is read.
        workers: processes that read; 0 reads in this one.
        pinned: whether batches come in memory from which a GPU copies while the host goes on; None: where there is one.
        batching: how `DataLoader` makes batches of examples.
    """
    return DataLoader(
        dataset,
        num_workers=workers,
        pin_memory=torch.cuda.is_available() if pinned is None else pinned,
        worker_init_fn=partial(begin_worker, yielding=not torch.accelerator.is_available()),
        **batching,
    )


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
