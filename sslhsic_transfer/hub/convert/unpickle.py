"""A reader of pickled checkpoints that cannot run code and handles data only.

Python's unpickler calls whatever a file names. This reader follows the same instructions, as listed by `pickletools`,
which only parses them. It keeps a stack of plain data and has nothing to call or import: names are compared with the
table in `rebuild.py`, attributes are never set, and the result can hold no more bytes than the file.
"""

import math
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from sslhsic_transfer._content import shown_start, what_it_is_instead
from sslhsic_transfer.errors import ModelNotFoundError, WeightsError
from sslhsic_transfer.hub.convert.memory_limits import BoundedFile
from sslhsic_transfer.hub.convert.rebuild import Unfinished, find_name, rebuild

LARGEST_FILE = 16 << 30
MOST_INSTRUCTIONS = 1_000_000
_NPY_MAGIC = b"\x93NUMPY"
_OTHERS = {b"PK\x03\x04": "a zip archive: a PyTorch checkpoint (use `sslhsic convert torch`) or an .npz file"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_LITERALS = _NUMBERS | _TEXTS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def load_pickled(path: str | Path, *, largest: int = LARGEST_FILE, most_instructions: int = MOST_INSTRUCTIONS) -> Any:
    """Read the single object of a pickle (``.pkl``), or of an ``.npy`` file that holds a pickled object.

    Args:
        path: the file.
        largest: largest accepted size of a file, in bytes.
        most_instructions: largest accepted number of instructions in a pickle.

    Returns:
        Dictionaries, lists, tuples, texts, numbers, NumPy arrays (read-only) and `Record`s, nested as in the file.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is not a pickle, is damaged or too large, or contains anything other than data.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {path}. Expected a checkpoint, such as checkpoint.npy or .pkl.")
    size = path.stat().st_size
    if size > largest:
        raise WeightsError(f"{path} has {size} bytes; expected a checkpoint of at most {largest} bytes.")
    with path.open("rb") as file:
        start = file.read(512)
        if found := what_it_is_instead(start):
            raise WeightsError(f"{path} is no checkpoint: {found}.")
        for magic, what in _OTHERS.items():
            if start.startswith(magic):
                raise WeightsError(f"{path} is {what}; expected a pickle or an .npy file.")
        file.seek(0)
        content = BoundedFile(file, size)
        try:
            if start.startswith(_NPY_MAGIC):
                _skip_npy_header(content)
            return _Reader(size, most_instructions).read(content)
        except WeightsError as error:
            raise WeightsError(f"{path} {error}") from error
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, RecursionError) as error:
            raise WeightsError(
                f"{path} is not a whole pickle: {type(error).__name__} near byte {content.tell()}; it begins with "
                f"{shown_start(start)}. Fetch or save it again."
            ) from error


def _skip_npy_header(content: Any) -> None:
    version = np.lib.format.read_magic(content)
    if version != (1, 0):
        raise WeightsError(f"has version {version} of the .npy layout; a saved dictionary has (1, 0).")
    shape, _, dtype = np.lib.format.read_array_header_1_0(content)
    if dtype.kind != "O" or math.prod(shape) != 1:
        raise WeightsError(f"holds a plain array, {dtype} of shape {shape}; expected a saved dictionary of parameters.")


class _Reader:
    """The stack, marks and memo of an unpickler.

    Args:
        budget: bytes that may be allocated beyond those that are read.
        most_instructions: largest number of instructions to follow.
    """

    def __init__(self, budget: int, most_instructions: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget
        self.most_instructions = most_instructions

    def read(self, content: BoundedFile) -> Any:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], content))):
            if number >= self.most_instructions:
                raise WeightsError(f"has more than {self.most_instructions} instructions; no checkpoint needs so many.")
            if opcode.name == "STOP":
                break
            self._follow(opcode.name, argument)
        return self.stack.pop()

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(self._last(_TUPLES[name])))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("TUPLE", "LIST", "DICT"):
            items = self._since_mark()
            stack.append(tuple(items) if name == "TUPLE" else items if name == "LIST" else _set_items({}, items))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._last(2) if name == "SETITEM" else self._since_mark()
            _set_items(_expect(stack[-1], dict), items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._remember(len(self.memo) if name == "MEMOIZE" else argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(find_name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(find_name(*self._last(2)))
        elif name in ("REDUCE", "NEWOBJ"):
            self._rebuild(*self._last(2))
        elif name == "BUILD":
            self._finish(stack.pop())
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "PROTO" and argument > pickle.HIGHEST_PROTOCOL:
            raise WeightsError(f"is of pickle protocol {argument}; known are those up to {pickle.HIGHEST_PROTOCOL}.")
        elif name not in ("PROTO", "FRAME"):
            raise WeightsError(f"uses the pickle instruction {name}, which no checkpoint of this kind needs; refused.")

    def _since_mark(self) -> list[Any]:
        return self._last(len(self.stack) - self.marks.pop())

    def _last(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise IndexError("fewer values than the instruction takes")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _remember(self, key: int) -> None:
        value = self.memo[key] = self.stack[-1]
        if isinstance(value, Unfinished):
            value.memo_keys.append(key)

    def _rebuild(self, target: Any, arguments: Any) -> None:
        value = rebuild(target, arguments)
        if isinstance(value, bytes):
            self.budget -= len(value)
            if self.budget < 0:
                raise WeightsError("makes more bytes than it has: the same text again and again; refused.")
        self.stack.append(value)

    def _finish(self, state: Any) -> None:
        value = self.stack[-1]
        if not isinstance(value, Unfinished):
            raise WeightsError(f"sets the state of a {type(value).__name__}; only arrays have one here. Refused.")
        finished = self.stack[-1] = value.finish(state)
        for key in value.memo_keys:
            self.memo[key] = finished


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected a {kind.__name__}")
    return value


def _set_items(target: dict[Any, Any], items: list[Any]) -> Mapping[Any, Any]:
    for key in items[::2]:
        if not isinstance(key, str | int | float | bytes | None):
            raise WeightsError(f"has a dictionary with keys of type {type(key).__name__}; expected texts or numbers.")
    target.update(zip(items[::2], items[1::2], strict=True))
    return target
