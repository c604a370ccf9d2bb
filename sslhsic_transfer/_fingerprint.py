"""Fingerprints of data sets, to detect that a resumed run finds other pictures than those it began with.

No picture is read. Names are relative, so that a folder may move. Sizes are read for enough files to detect all but a
few changes, and a million files still take only a second.
"""

import dataclasses
import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_MOST_SIZES = 50_000
# The name of a folder says nothing about its content.
_LEFT_OUT = frozenset({"name", "root", "split"})


class Fingerprint:
    """A SHA-256 hash over values, with files by their relative names and sizes.

    Args:
        sizes: whether sizes of files count; without them, files may be mended.
    """

    def __init__(self, *, sizes: bool = True) -> None:
        self._sizes = sizes
        self._digest = hashlib.sha256()
        self._files: list[Path] = []

    def add(self, value: Any) -> None:
        """Add a value: text, bytes, numbers, arrays, paths, and sequences, mappings and dataclasses of these.

        A bound method counts as its object; any other value counts only by its type.
        """
        if isinstance(value, Path):
            self._files.append(value)
        elif isinstance(value, bytes):
            self._feed(b"b", value)
        elif value is None or isinstance(value, str | int | float):
            self._feed(type(value).__name__.encode(), os.fsencode(str(value)))
        elif isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            self._feed(f"{array.dtype}{array.shape}".encode(), np.ascontiguousarray(array).tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                self.add(str(key))
                self.add(value[key])
        elif isinstance(value, list | tuple | range):
            self._feed(b"items", str(len(value)).encode())
            for item in value:
                self.add(item)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                if field.name not in _LEFT_OUT:
                    self.add(field.name)
                    self.add(getattr(value, field.name))
        elif inspect.ismethod(value):
            self.add(value.__self__)
        else:
            self._feed(b"type", type(value).__name__.encode())

    def hexdigest(self) -> str:
        """Return the hash of all values added."""
        self._add_files()
        return self._digest.hexdigest()

    def _feed(self, kind: bytes, content: bytes) -> None:
        self._digest.update(kind + b"\0" + str(len(content)).encode() + b"\0" + content)

    def _add_files(self) -> None:
        if not self._files:
            return
        root = os.path.commonpath({str(path.parent) for path in self._files})
        prefix = len(root.rstrip(os.sep)) + 1 if root else 0
        for path in self._files:
            self._feed(b"file", os.fsencode(str(path)[prefix:].replace(os.sep, "/")))
        for size in sizes_of(self._files) if self._sizes else ():
            self._feed(b"size", str(size).encode())
        self._files = []


def fingerprint_of(value: Any, *, sizes: bool = True) -> str:
    """Return the fingerprint of a data set that is a dataclass, or of any other value for `Fingerprint.add`."""
    fingerprint = Fingerprint(sizes=sizes)
    fingerprint.add(value)
    return fingerprint.hexdigest()


def sizes_of(files: Sequence[Path]) -> list[int]:
    """Return the sizes in bytes of at most 50,000 files spread evenly over a sequence; -1 for an unreadable one."""
    count = min(len(files), _MOST_SIZES)
    return [_size(files[index * len(files) // count]) for index in range(count)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
