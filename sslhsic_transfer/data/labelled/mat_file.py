"""Reader of arrays of numbers in Matlab 5 files, after MathWorks' description of the format.

SciPy's reader, which is written in C, can crash the process on a damaged file.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer._content import what_file_is_instead
from sslhsic_transfer.errors import DataError

_HEADER = 128  # bytes
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)  # classes of arrays: double to uint64; the others are cells, structures, text
_COMPLEX = 0x0800
_LARGEST = 1 << 24  # bytes of an array: two million numbers


def read_numbers(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of real numbers in a Matlab 5 file; other content is ignored.

    Args:
        path: a .mat file of up to 16 MiB.

    Returns:
        The arrays by name, in Matlab's shape.

    Raises:
        DataError: it is not such a file, or damaged.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it has {path.stat().st_size} bytes; expected at most {_LARGEST}")
        return dict(_arrays(path.read_bytes()))
    except (OSError, ValueError, IndexError, struct.error, zlib.error, OverflowError) as error:
        raise DataError(f"{path} cannot be read as a Matlab file: {what_file_is_instead(path) or error}.") from error


def _arrays(content: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    mark = content[_HEADER - 2 : _HEADER]
    if mark not in (b"IM", b"MI"):
        raise ValueError("its header is not that of Matlab 5")
    order = "<" if mark == b"IM" else ">"
    for kind, data in _elements(content[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj()
            inner = unpacked.decompress(data, _LARGEST)
            if unpacked.unconsumed_tail:
                raise ValueError(f"an array takes more than {_LARGEST} bytes")
            kind, data = next(_elements(inner, order), (0, b""))
        if kind == _MATRIX and (found := _array(data, order)) is not None:
            yield found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of each data element; elements of up to four bytes are packed into their tag."""
    place = 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
        else:
            start, step = place + 8, 8 + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(content):
            raise ValueError("it ends within an array")
        yield kind, content[start : start + size]
        place += step


def _array(content: bytes, order: str) -> tuple[str, NDArray[Any]] | None:
    """Read one array by its parts, which are flags, shape, name and values; None if it does not hold real numbers."""
    parts = [part for _, part in zip(range(4), _elements(content, order), strict=False)]
    if len(parts) < 4:
        return None
    (_, flags), (_, shape), (_, name), (kind, values) = parts
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in _NUMBERS or flag & _COMPLEX or kind not in _TYPES:
        return None
    sides = np.frombuffer(shape, f"{order}i4")
    numbers = np.frombuffer(values, f"{order}{_TYPES[kind]}")
    if (sides < 0).any() or np.prod(sides, dtype=object) != len(numbers):
        raise ValueError(f"an array of the shape {sides[:4].tolist()} has {len(numbers)} numbers")
    return name.decode("ascii", errors="replace"), numbers.reshape(sides, order="F")
