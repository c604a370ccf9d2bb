"""Locks: only one process at a time writes an output, or reads, changes and replaces a file."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sslhsic_transfer.errors import OutputBusyError

_PATIENCE = 60.0  # seconds, for work that takes milliseconds


@contextmanager
def writing(output: Path, lock: Path) -> Iterator[None]:
    """Lock an output while it is written.

    The system releases the lock when a process ends, however it ends, so a killed process blocks nobody.

    Args:
        output: the output, for the message.
        lock: path of the lock file, which is removed at the end.

    Raises:
        OutputBusyError: another process holds the lock.
        OSError: the lock file cannot be written.
    """
    with _held(lock, 0, f"Another process is writing {output}. Wait for it to end, or choose another output."):
        yield


@contextmanager
def changing(file: Path) -> Iterator[None]:
    """Lock a file while it is read, changed and replaced; other processes wait.

    Raises:
        OutputBusyError: another process has held the lock for a minute.
        OSError: the folder cannot be written to.
    """
    message = (
        f"Another process has been changing {file} for {_PATIENCE:.0f} seconds: stop it, then start this one again."
    )
    with _held(lock_beside(file), _PATIENCE, message):
        yield


def lock_beside(file: Path) -> Path:
    """Return the path of a file's lock, a hidden file in the same folder."""
    return file.with_name(f".{file.name}.lock")


@contextmanager
def _held(path: Path, patience: float, message: str) -> Iterator[None]:
    """Hold a lock file; remove it at the end, with those folders created for it that are still empty."""
    folders = (path.parent, *path.parent.parents)
    if file := next((place for place in folders if place.exists() and not place.is_dir()), None):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(file))
    made = [place for place in folders if not place.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=patience)
    try:
        path.open("ab").close()  # filelock mistakes some refusals, such as those of /proc, for a lock held elsewhere
        lock.acquire()
        try:
            yield
        finally:
            # Before the release: a process waiting for this file sees that it is gone, and locks a new one.
            with suppress(OSError):  # Windows cannot remove open files
                path.unlink()
            lock.release()
    except Timeout as error:
        raise OutputBusyError(message) from error
    finally:
        for folder in made:
            with suppress(OSError):  # a file was added to it
                folder.rmdir()
