"""Reading of ``torch.save`` files, with the memory that they would take checked before torch opens them.

`torch.load` with ``weights_only=True`` runs no code from the file, but allocates what the file requests: a kilobyte may
request gigabytes. Here the pickle's instructions are followed with sizes in place of values.
"""

import argparse
import pickletools
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sslhsic_transfer._content import shown_start, what_it_is_instead
from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.memory_limits import BoundedFile

MOST_INSTRUCTIONS = 1_000_000
ROOM = 1 << 28  # bytes that may be allocated beyond the file's own size
_LARGEST_PICKLE = 1 << 28  # bytes; the tensors are stored outside of it
_PICKLES_OF_OLD = 5  # before PyTorch 1.6, a file was a sequence of pickles followed by the tensors' bytes
_MAKERS = {"builtins bytearray", "__builtin__ bytearray"}
_ADVICE = (
    "If you trust it, open it where it was made and save its tensors alone: torch.save(checkpoint['state_dict'], "
    "'weights.pth'), or model.state_dict() of a whole module."
)


def load_torch(path: Path) -> Any:
    """Read a ``torch.save`` file as weights only.

    Args:
        path: the file.

    Returns:
        The saved object, with tensors on the CPU.

    Raises:
        WeightsError: the file is not a checkpoint, is damaged, holds more than tensors and plain data, or would take
            far more memory than its size.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if found := what_it_is_instead(start):
        raise WeightsError(f"{path} is no checkpoint: {found}.")
    try:
        _weigh(path, zipped=start.startswith(b"PK"))
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} is no whole checkpoint: {error}. Fetch or save it again.") from error
    try:
        # A training script's options are plain data. Sparse and quantized tensors, which torch warns about, are
        # refused later.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # torch.load raises many kinds of errors for a damaged file
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "global" in line), "")
        if not reason and not start.startswith((b"PK", b"\x80")):
            raise WeightsError(f"{path} is no checkpoint: it begins with {shown_start(start)}.") from error
        raise WeightsError(
            f"{path} cannot be read as weights only, without running code ({type(error).__name__}"
            + (f": {reason[:300]}" if reason else "")
            + f"). {_ADVICE}"
        ) from error


def _weigh(path: Path, *, zipped: bool) -> None:
    size = path.stat().st_size
    if not zipped:
        with path.open("rb") as file:
            for _ in range(_PICKLES_OF_OLD):
                if not _Scale(size + ROOM).walk(BoundedFile(file, size)):
                    return
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if packed := [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{packed[0][:80]!r} in it is compressed, which torch.save never does")
        if (declared := sum(entry.file_size for entry in entries)) > size:
            raise ValueError(f"its parts have {declared} bytes, and the file {size}")
        for entry in entries:
            if entry.filename.rpartition("/")[2] == "data.pkl":
                if entry.file_size > _LARGEST_PICKLE:
                    raise ValueError(f"{entry.filename[:80]!r} in it has {entry.file_size} bytes beside its tensors")
                with archive.open(entry) as part:
                    _Scale(size + ROOM).walk(BoundedFile(part, entry.file_size))


@dataclass
class _Value:
    """Stand-in for a value: the bytes of a copy, the parts of a tuple, the text of a name."""

    size: int = 64
    parts: tuple["_Value", ...] = ()
    name: str = ""


@dataclass
class _Scale:
    """The stack and memo of an unpickler, holding sizes instead of values.

    Attributes:
        budget: bytes that calls may still allocate.
    """

    budget: int
    stack: list[_Value] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, _Value] = field(default_factory=dict)

    def walk(self, file: Any) -> bool:
        """Follow one pickle; tell whether its end was reached. Torch refuses pickles that cannot be followed.

        Raises:
            ValueError: the pickle would allocate too much.
        """
        instructions = pickletools.genops(file)
        for number in range(MOST_INSTRUCTIONS):
            try:
                opcode, argument, _ = next(instructions)
            except (StopIteration, ValueError):
                return False
            if opcode.name == "STOP":
                return True
            try:
                self._follow(opcode.name, argument, number)
            except (IndexError, KeyError):
                return False
        raise ValueError(f"it has more than {MOST_INSTRUCTIONS} instructions; no checkpoint needs so many")

    def _follow(self, name: str, argument: Any, number: int) -> None:
        stack = self.stack
        if name == "MARK":
            self.marks.append(len(stack))
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            parts = self._since_mark()
            stack.append(_Value(64 + 16 * len(parts), tuple(parts) if name == "TUPLE" else ()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(_Value(96, tuple(self._last(int(name[-1])))))
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS", "APPEND", "SETITEM"):
            parts = self._since_mark() if name.endswith("S") else self._last(1 if name == "APPEND" else 2)
            stack[-1].size += 64 * len(parts)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            called = argument if name == "GLOBAL" else " ".join(part.name for part in self._last(2))
            if called in _MAKERS:
                raise ValueError("it asks for a bytearray, by which a few bytes become any number; weights need none")
            stack.append(_Value(name=called))
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD"):
            self._call(name)
        elif name in ("POP", "BINPERSID"):
            stack.pop()
            if name == "BINPERSID":
                stack.append(_Value())
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name not in ("PROTO", "FRAME"):
            text = argument if isinstance(argument, str) else ""
            stack.append(_Value(64 + (len(argument) * 4 if isinstance(argument, str | bytes) else 0), name=text[:200]))

    def _call(self, name: str) -> None:
        """Charge a call for a copy of its arguments, the most that it makes. Tensors are checked after loading."""
        arguments = self.stack.pop()
        if name == "NEWOBJ_EX":
            self.stack.pop()
        if name != "BUILD":
            self.stack.pop()
        size = arguments.size + sum(part.size for part in arguments.parts)
        self.budget -= size
        if self.budget < 0:
            raise ValueError("it makes far more data than it holds: copies of the same part again and again")
        if name != "BUILD":
            self.stack.append(_Value(size))

    def _since_mark(self) -> list[_Value]:
        return self._last(len(self.stack) - self.marks.pop())

    def _last(self, count: int) -> list[_Value]:
        if count > len(self.stack):
            raise IndexError("fewer values than the instruction takes")
        start = len(self.stack) - count
        parts = self.stack[start:]
        del self.stack[start:]
        return parts


def is_zip(path: Path) -> bool:
    """Tell whether a file is a zip archive, as torch.save writes, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
