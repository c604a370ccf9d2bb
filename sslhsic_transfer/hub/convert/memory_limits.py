"""Limits on the memory that a file from elsewhere may claim."""

from typing import IO

from sslhsic_transfer.errors import WeightsError

ROOM = 1 << 24  # bytes of tensors allowed beyond the file's size, for views of a single number and the like


class BoundedFile:
    """A file for `pickletools`, which allocates the declared length of an argument before it reads it.

    Args:
        file: open for reading.
        size: the file's size in bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int) -> bytes:
        """Read bytes; return no bytes if they would reach beyond the file's end."""
        return self._file.read(count) if 0 <= count <= self._size - self._file.tell() else b""

    def readline(self) -> bytes:
        """Read a line."""
        return self._file.readline()

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._file.tell()


def refuse_more_than_the_file(used: int, size: int, source: str) -> None:
    """Refuse tensors with more bytes than their file holds: one array under many names, or repeated by strides.

    Args:
        used: bytes of all tensors that would be copied, in their stored dtypes.
        size: the file's size in bytes.
        source: the file, for the message.

    Raises:
        WeightsError: the tensors have far more bytes than the file.
    """
    if used > 2 * size + ROOM:
        raise WeightsError(
            f"{source} has {size} bytes, and its tensors would have {used}: the same numbers under many names, or "
            "repeated by strides of 0. Save them as contiguous tensors of their own."
        )
