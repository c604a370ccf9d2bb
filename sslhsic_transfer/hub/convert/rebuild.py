"""The names that a pickled checkpoint may use, and the data made from them. Nothing else is looked up or called.

NumPy, JAX, haiku and dill write arrays, mappings and named tuples in these forms, under the module names of their old
and new releases. Arrays are built here from their bytes, with this module's own checks, not by NumPy's unpickling.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sslhsic_transfer.errors import WeightsError

_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
_OBJECTS = {"O", "O8"}
_MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class Name:
    """A class or function named in a pickle. It is only compared with the table below."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class RecordType:
    """A named tuple's class, as its name; ``fields`` is None if the pickle does not contain them."""

    name: str
    fields: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class Record:
    """A named tuple: its class, its values, and their names if known."""

    type: RecordType
    values: tuple[Any, ...]

    def as_dict(self) -> dict[str, Any] | None:
        """Return name -> value; None if the names are unknown or their number is wrong."""
        fields = self.type.fields
        return (
            None if fields is None or len(fields) != len(self.values) else dict(zip(fields, self.values, strict=True))
        )


@dataclass(eq=False)
class Unfinished:
    """An array or dtype whose state comes later in the pickle, and the memo keys that hold it until then."""

    finish: Callable[[Any], Any]
    memo_keys: list[int] = field(default_factory=list)


def find_name(module: object, name: object) -> Name | RecordType:
    """Accept a name that a pickle refers to.

    Raises:
        WeightsError: the name is not in the table.
    """
    if isinstance(module, str) and isinstance(name, str):
        if (module, name) in _FUNCTIONS:
            return Name(module, name)
        if (module, name) in _RECORDS:
            return RecordType(f"{module}.{name}", _RECORDS[module, name])
        if module.split(".")[0] in _STATE_PACKAGES and re.fullmatch(r"\w*State", name):
            return RecordType(f"{module}.{name}", None)
    asked = (
        f"{module[:80]}.{name[:80]}" if isinstance(module, str) and isinstance(name, str) else "a name that is no text"
    )
    raise WeightsError(
        f"asks for {asked}, which is not in the list of what a checkpoint may hold (arrays, numbers, texts, lists, "
        "dictionaries). Nothing was run. Do not load this file by other means unless you trust its source."
    )


def rebuild(target: object, arguments: object) -> Any:
    """Build the data that a named class or function stands for.

    Raises:
        WeightsError: the arguments are not of the expected form.
    """
    if not isinstance(arguments, tuple):
        raise WeightsError(f"gives {target} arguments of type {type(arguments).__name__}.")
    if isinstance(target, RecordType):
        return Record(target, arguments)
    if not isinstance(target, Name):
        raise WeightsError(f"calls something of type {type(target).__name__}, which is data.")
    try:
        return _FUNCTIONS[target.module, target.name](*arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"holds a {target} of unusual arguments ({type(error).__name__}).") from error


def _dtype(code: str, *_: object) -> Unfinished:
    if not isinstance(code, str) or code not in _NUMBERS | _OBJECTS:
        found = repr(code[:40]) if isinstance(code, str) else type(code).__name__
        raise WeightsError(f"holds an array of type {found}; expected numbers of up to 8 bytes.")

    def finish(state: Any) -> np.dtype[Any]:
        _, order, *fields = state
        if order not in ("<", ">", "|", "=") or any(fields[:3]):
            raise WeightsError("holds an array of a structured type; expected numbers.")
        return np.dtype(object) if code in _OBJECTS else np.dtype(order + code)

    return Unfinished(finish)


def _array(*_: object) -> Unfinished:
    def finish(state: Any) -> Any:
        _, shape, dtype, fortran, content = state
        return _from_content(content, dtype, shape, "F" if fortran else "C")

    return Unfinished(finish)


def _from_content(content: Any, dtype: Any, shape: Any, order: str = "C") -> Any:
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    if not whole or len(shape) > _MOST_DIMENSIONS or not isinstance(dtype, np.dtype):
        raise WeightsError("holds an array of unusual shape or type.")
    if dtype.kind == "O":
        if shape == () and isinstance(content, list) and len(content) == 1:
            return content[0]  # `np.save` writes a dictionary this way
        raise WeightsError(f"holds an array of objects of shape {shape}; expected arrays of numbers.")
    count = math.prod(shape)
    if not isinstance(content, bytes | bytearray) or len(content) != count * dtype.itemsize:
        raise WeightsError(f"holds an array of shape {shape} and type {dtype} whose bytes do not fit it.")
    flat = np.frombuffer(content, dtype) if count else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    return _from_content(content, dtype, ())


def _array_at_once(_: object, __: object, state: Any, *___: object) -> Any:
    """Build an array from the form of JAX and dill: NumPy's function, its arguments, the state, then extra values."""
    return _array().finish(state)


def _mapping(content: Any = ()) -> dict[Any, Any]:
    if isinstance(content, dict):
        return content
    if content == ():
        return {}
    raise WeightsError("holds a mapping that is not made of a dictionary.")


def _encoded(text: str, encoding: str) -> bytes:
    """Return the bytes that protocol 2 writes as a text of the same code points."""
    if encoding not in ("latin1", "latin-1"):
        raise WeightsError("encodes a text otherwise than in latin1, as which bytes are written.")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _record_type(name: str, fields: Any, module: str, *_: object) -> RecordType:
    """Build the class of a named tuple as dill writes it."""
    if not all(isinstance(part, str) for part in (name, module, *fields)):
        raise WeightsError("holds a named tuple whose names are no texts.")
    return RecordType(f"{module}.{name}", tuple(fields))


def _never(*_: object) -> Any:
    raise TypeError("stands as an argument only")


_NUMPY: dict[str, dict[str, Callable[..., Any]]] = {
    "multiarray": {"_reconstruct": _array, "scalar": _scalar},
    "numeric": {"_frombuffer": _from_content},
}
_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, functions in _NUMPY.items()
        for name, function in functions.items()
    },
    ("numpy", "ndarray"): _never,  # the first argument of _reconstruct
    ("numpy", "dtype"): _dtype,
    ("jax._src.array", "_reconstruct_array"): _array_at_once,
    (
        "jax._src.device_array",
        "reconstruct_device_array",
    ): _array_at_once,  # until JAX 0.4; before 0.3, NumPy's own form
    ("collections", "OrderedDict"): _mapping,
    ("haiku._src.data_structures", "FlatMapping"): _mapping,
    ("haiku._src.data_structures", "FlatMap"): _mapping,
    ("haiku._src.data_structures", "frozendict"): _mapping,  # until haiku 0.0.2
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _empty_bytes,
    ("__builtin__", "bytes"): _empty_bytes,
    ("dill._dill", "_create_namedtuple"): _record_type,
    ("dill.dill", "_create_namedtuple"): _record_type,
    ("dill._dill", "_create_array"): _array_at_once,
    ("dill.dill", "_create_array"): _array_at_once,
}
_RECORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("byol.byol_experiment", "_ByolExperimentState"): (
        "online_params",
        "target_params",
        "online_state",
        "target_state",
        "opt_state",
    ),
}
# Packages of the optimizer's named tuples, which are stored next to the weights and not read.
_STATE_PACKAGES = ("byol", "optax", "ssl_hsic")
