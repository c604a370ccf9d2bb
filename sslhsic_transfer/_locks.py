"""Locks: one process at a time writes an output, or reads, changes and replaces a file."""

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
    """Hold an output for as long as it takes to make it.

    The system releases the lock of a process that ends, however it ends, so that a kill blocks nobody.

    Args:
        output: what is written, for the message.
        lock: path of the lock file, which is removed at the end.

    Raises:
        OutputBusyError: another process holds it.
        OSError: the lock cannot be written there.
    """
    with _held(lock, 0, f"Another process is writing {output}. Wait for it to end, or choose another output."):
        yield


@contextmanager
def changing(file: Path) -> Iterator[None]:
    """Hold a file while it is read, changed and replaced; others wait.

    Raises:
        OutputBusyError: another process has held it for a minute.
        OSError: the folder cannot be written to.
    """
    message = (
        f"Another process has been changing {file} for {_PATIENCE:.0f} seconds: stop it, then start this one again."
    )
    with _held(lock_beside(file), _PATIENCE, message):
        yield


def lock_beside(file: Path) -> Path:
    """The path of a file's lock, hidden and in the same folder."""
    return file.with_name(f".{file.name}.lock")


@contextmanager
def _held(path: Path, patience: float, message: str) -> Iterator[None]:
    """Hold a lock file; it goes at the end, with the folders that had to be made for it if they are empty still."""
    folders = (path.parent, *path.parent.parents)
    if file := next((place for place in folders if place.exists() and not place.is_dir()), None):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(file))
    made = [place for place in folders if not place.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=patience)
    try:
        path.open("ab").close()  # filelock takes some refusals, such as /proc's, for a lock that another one holds
        lock.acquire()
        try:
            yield
        finally:
            # Before the release: whoever waits for this file sees that it is gone, and locks the next one.
            with suppress(OSError):  # Windows removes no open file
                path.unlink()
            lock.release()
    except Timeout as error:
        raise OutputBusyError(message) from error
    finally:
        for folder in made:
            with suppress(OSError):  # something has come into it
                folder.rmdir()
