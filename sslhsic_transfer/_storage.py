"""Errors of the machine, told apart from those of one file."""

import errno
from pathlib import Path

from sslhsic_transfer.errors import DeviceMemoryError, StorageError

# What the next file would fail with, too; not every platform knows each.
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
    """Raise an error that ends the work where reading failed for the machine's sake, not the file's.

    Args:
        error: what reading has raised.
        source: what was read; the folder of a path that is missing is looked for.

    Raises:
        StorageError: a disk or network folder is gone, or there are too many open files.
        DeviceMemoryError: there is no memory left.
    """
    if isinstance(error, MemoryError):
        raise DeviceMemoryError(
            f"There is no memory left to read {source}. Lower workers or the batch size, or remove the picture if it "
            "alone is too large."
        ) from error
    if not isinstance(error, OSError):
        return
    fix = _OF_THE_MACHINE.get(error.errno or 0)
    if fix is not None:
        raise StorageError(f"Cannot read {source}: {error.strerror or error}. {fix}, then go on.") from error
    if isinstance(error, FileNotFoundError):
        folder = Path(error.filename if isinstance(error.filename, str) else source).parent
        if not folder.is_dir():
            raise StorageError(
                f"Cannot read {source}: its folder {folder} is not there (any more). Bring it back or mount it, then "
                "go on."
            ) from error
