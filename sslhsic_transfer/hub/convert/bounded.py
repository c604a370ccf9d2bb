"""What a foreign file may make: no read beyond its end, and no more numbers than it holds."""

from typing import IO

from sslhsic_transfer.errors import WeightsError

ROOM = 1 << 24  # bytes of tensors beyond the file's size: for views of a single number, and the like


class BoundedFile:
    """A file for `pickletools`, which reserves as many bytes as an instruction declares before it reads them.

    Args:
        file: open for reading.
        size: of the file, in bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int) -> bytes:
        """Read bytes; too few where they do not reach beyond the end, none where they do."""
        return self._file.read(count) if 0 <= count <= self._size - self._file.tell() else b""

    def readline(self) -> bytes:
        """Read a line."""
        return self._file.readline()

    def tell(self) -> int:
        """Give the position in bytes."""
        return self._file.tell()


def refuse_more_than_the_file(used: int, size: int, source: str) -> None:
    """Refuse tensors that stand for more bytes than their file has: one array under many names, or repeated by strides.

    Args:
        used: bytes of all tensors that would be copied, in the kinds of numbers that they are stored in.
        size: of the file.
        source: the file, for the message.

    Raises:
        WeightsError: they do, by far.
    """
    if used > 2 * size + ROOM:
        raise WeightsError(
            f"{source} has {size} bytes, and its tensors would have {used}: the same numbers under many names, or "
            "repeated by strides of 0. Save them as contiguous tensors of their own."
        )
