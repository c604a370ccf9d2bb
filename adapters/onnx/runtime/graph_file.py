"""Reader of the parts of an ONNX file that determine the cost of running it: nodes, attributes, tensors, shapes."""

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.runtime.wire import content, fields, integers, text
from sslhsic_transfer.errors import ModelFileError

FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16, DOUBLE = 1, 2, 3, 6, 7, 9, 10, 11
# Types of numbers in exported files, by their code in TensorProto.DataType.
DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    UINT8: np.dtype("u1"),
    INT8: np.dtype("i1"),
    INT32: np.dtype("<i4"),
    INT64: np.dtype("<i8"),
    BOOL: np.dtype("?"),
    FLOAT16: np.dtype("<f2"),
    DOUBLE: np.dtype("<f8"),
}
SMALL = 4096  # values; larger tensors do not determine sizes
_EXTERNAL = 1
_MOST_DIMENSIONS = 8
_MOST_NODES = 20_000  # a detector has about 2,500


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        name: its name.
        kind: code of its type of numbers.
        shape: its shape.
        external: keys and texts that locate its bytes, if they lie in another file.
        values: its values, if they are few and in the file; else None.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    external: dict[str, str] | None = None
    values: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * DTYPES[self.kind].itemsize


@dataclass
class Node:
    """An operator of a graph with its inputs, outputs and attributes: numbers, lists of them, bytes and tensors."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: name, kind of numbers, and sides, None where they are free."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass
class Graph:
    """A graph: nodes in order, stored tensors, inputs and outputs."""

    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


def read_graph(message: memoryview) -> Graph:
    """Read a GraphProto.

    Raises:
        ModelFileError: it is damaged, or holds sub-graphs, sparse tensors, or types of numbers that no exported file
            has.
    """
    graph = Graph()
    for number, value in fields(message):
        if number == 1:
            graph.nodes.append(_node(content(value)))
            if len(graph.nodes) > _MOST_NODES:
                raise ModelFileError(f"it has more than {_MOST_NODES} nodes")
        elif number == 5:
            graph.tensors.append(_tensor(content(value)))
        elif number in (11, 12):
            (graph.inputs if number == 11 else graph.outputs).append(_port(content(value)))
        elif number == 15:
            raise ModelFileError("it holds sparse tensors, which no exported file does")
    return graph


def _node(message: memoryview) -> Node:
    node = Node()
    attributes = []
    for number, value in fields(message):
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(text(value))
        elif number == 4:
            node.operator = text(value)
        elif number == 5:
            attributes.append(content(value))
        elif number == 7:
            node.domain = text(value)
    for attribute in attributes:
        name, value = _attribute(attribute, node.operator)
        node.attributes[name] = value
    return node


def _attribute(message: memoryview, operator: str) -> tuple[str, Any]:
    name = ""
    values: list[Any] = []
    listed = False
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number in (2, 3):  # the last one counts
            values = [*_floats(content(value))] if number == 2 else integers(value)
        elif number in (7, 8):
            values += _floats(content(value)) if number == 7 else integers(value)
            listed = True
        elif number in (4, 9):
            values.append(bytes(content(value)))
        elif number == 5:
            values.append(_tensor(content(value)))
        elif number in (6, 10, 11, 22, 23):
            raise ModelFileError(f"the operator {operator or 'of a node'} holds a sub-graph or sparse tensor")
    return name, values if listed or len(values) != 1 else values[0]


def _floats(value: memoryview) -> list[float]:
    if len(value) % 4:
        raise ModelFileError("it is no ONNX file: floating numbers break off")
    return [number for (number,) in struct.iter_unpack("<f", value)]


def _port(message: memoryview) -> Port:
    name, kind = "", 0
    shape: tuple[int | None, ...] | None = None
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 2:
            for form, inner in fields(content(value)):
                if form != 1:
                    continue  # a denotation, or not a tensor
                for part, found in fields(content(inner)):
                    if part == 1:
                        kind = _one(found)
                    elif part == 2:
                        shape = tuple(_side(content(side)) for key, side in fields(content(found)) if key == 1)
    return Port(name, kind, shape)


def _side(message: memoryview) -> int | None:
    side = None
    for number, value in fields(message):
        if number == 1:
            side = _one(value)
        elif number == 2:
            text(value)  # checks the name, which ONNX Runtime does not
            side = None
    return side


def _one(value: int | memoryview) -> int:
    found = integers(value)
    if len(found) != 1:
        raise ModelFileError("it is no ONNX file: one number was expected")
    return found[0]


def _tensor(message: memoryview) -> Tensor:
    name, kind, location = "", 0, 0
    shape: list[int] = []
    external: dict[str, str] = {}
    raw: memoryview | None = None
    listed: list[tuple[int, int | memoryview]] = []
    for number, value in fields(message):
        if number == 1:
            shape += integers(value)
        elif number == 2:
            kind = _one(value)
        elif number in (4, 5, 7, 10):
            listed.append((number, value))
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = content(value)
        elif number == 13:
            entry = {key: text(part) for key, part in fields(content(value))}
            external[entry.get(1, "")] = entry.get(2, "")
        elif number == 14:
            location = _one(value)
    if kind not in DTYPES or any(side < 0 for side in shape) or len(shape) > _MOST_DIMENSIONS:
        raise ModelFileError(f"the tensor {name!r} is of kind {kind} and shape {shape[:16]}")
    found = Tensor(name, kind, tuple(shape), external if location == _EXTERNAL else None)
    if location == _EXTERNAL:
        return found
    if raw is not None and len(raw) != found.size:
        raise ModelFileError(
            f"the tensor {name!r} of shape {shape} has {len(raw)} bytes, where {found.size} were expected"
        )
    count = math.prod(shape)
    if raw is None and count > sum(1 if isinstance(value, int) else len(value) for _, value in listed):
        raise ModelFileError(f"the tensor {name!r} of shape {shape} holds too few numbers")
    if count > SMALL:
        return found
    values = np.frombuffer(raw, DTYPES[kind]) if raw is not None else _listed(listed, kind)
    if len(values) != count:
        raise ModelFileError(f"the tensor {name!r} of shape {shape} holds {len(values)} numbers")
    return Tensor(name, kind, tuple(shape), None, values.reshape(shape))


def _listed(parts: list[tuple[int, int | memoryview]], kind: int) -> NDArray[Any]:
    """Read numbers that a file stores one by one, in the field for their type."""
    found: list[Any] = []
    for number, value in parts:
        if number in (5, 7):
            found += integers(value)
        else:
            form = "<f" if number == 4 else "<d"
            try:
                found += [one for (one,) in struct.iter_unpack(form, content(value))]
            except struct.error as error:
                raise ModelFileError("it is no ONNX file: floating numbers break off") from error
    if kind == FLOAT16:  # stored as the bits of an integer
        return np.asarray(found, np.int64).astype(np.uint16).view(DTYPES[kind])
    return np.asarray(found, np.float64 if kind in (FLOAT, DOUBLE) else np.int64).astype(DTYPES[kind])
