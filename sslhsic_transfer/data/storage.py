"""Distinction between failures of the machine and those of a single file."""

import errno
from pathlib import Path

from sslhsic_transfer.errors import DeviceMemoryError, ImageError, StorageError

# Errors that would also occur with the next file, and their fixes; not every platform has all of them.
_OF_THE_MACHINE = {
    getattr(errno, name): fix
    for names, fix in (
        (("EMFILE", "ENFILE"), "Raise the limit of open files (ulimit -n), or lower workers"),
        (("ENOMEM",), "Lower workers or the batch size"),
        (
            ("EIO", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT", "EREMOTEIO", "ESHUTDOWN"),
            "See that the disk or network folder is sound and mounted",
        ),
    )
    for name in names
    if hasattr(errno, name)
}


def require_sound_machine(error: BaseException, source: str | Path) -> None:
    """Raise an error that ends the work if reading failed because of the machine rather than the file.

    Args:
        error: the error of reading.
        source: the file that was read.

    Raises:
        StorageError: a disk or network folder fails, or there are too many open files.
        DeviceMemoryError: there is no memory left.
    """
    if isinstance(error, MemoryError):
        raise DeviceMemoryError(
            f"There is no memory left to read {source}. Lower workers or the batch size, or remove the picture if it "
            "alone is too large."
        ) from error
    if isinstance(error, OSError) and (fix := _OF_THE_MACHINE.get(error.errno or 0)):
        raise StorageError(f"Cannot read {source}: {error.strerror or error}. {fix}, then go on.") from error


def require_folder(error: ImageError) -> None:
    """Raise an error that ends the work if a picture that was listed is gone together with its folder.

    Args:
        error: the picture's error.

    Raises:
        StorageError: the folder no longer exists.
    """
    cause = error.__cause__
    if not isinstance(cause, FileNotFoundError) or not isinstance(cause.filename, str | Path):
        return
    folder = Path(cause.filename).parent
    if not folder.is_dir():
        raise StorageError(
            f"Cannot read {cause.filename}: its folder {folder} is not there any more. Bring it back or mount it, "
            "then go on."
        ) from error
