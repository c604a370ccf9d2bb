"""An ONNX file looked into before anything runs it: metadata, operators, tensors, files beside it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sslhsic_transfer.adapters.onnx.info import kind_of
from sslhsic_transfer.adapters.onnx.runtime.operators import ENCODER, KINDS, FileKind
from sslhsic_transfer.adapters.onnx.runtime.wire import content, fields, integers, text
from sslhsic_transfer.errors import ModelFileError, ModelNotFoundError

# Bytes of a number, by its code in TensorProto.DataType.
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
_EXTERNAL = 1
_LARGEST = (1 << 31) - 1  # bytes of a Protocol Buffers message


@dataclass
class ModelFile:
    """What was found in a file.

    Attributes:
        path: the file.
        content: its bytes.
        metadata: its entries.
        operators: names, with their domain where it is not the standard's.
        beside: files that hold tensors of it.
    """

    path: Path
    content: bytes = field(repr=False)
    metadata: dict[str, str] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    beside: set[Path] = field(default_factory=set)


def inspect(path: str | Path, kind: FileKind = ENCODER) -> ModelFile:
    """Read a file's structure and refuse what an exported model of its kind cannot hold.

    Args:
        path: the file.
        kind: `ENCODER` or `DENSE` of `sslhsic_transfer.adapters.onnx.runtime.operators`.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelFileError: it is cut off or no ONNX file, it is of the other kind, it holds operators, functions or
            sub-graphs that its kind does not have, tensors whose shape does not fit their data, or data outside of its
            folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {path}. Make one: sslhsic export MODEL --output {path}")
    if (size := path.stat().st_size) > _LARGEST:
        raise ModelFileError(f"{path} has {size} bytes, an ONNX file at most {_LARGEST}. Export or fetch it again.")
    found = ModelFile(path, path.read_bytes())
    with _telling(path):
        graph = _model(memoryview(found.content), found, kind)
    if (other := kind_of(found.metadata)) is not None and other != kind.name:
        raise ModelFileError(f"{path} is an exported {other}, no {kind.name}: open it by {KINDS[other].opener}.")
    with _telling(path):
        _graph(graph, found, kind)
    return found


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{path} is not run: {error}. Export or fetch it again.") from None


def _model(message: memoryview, found: ModelFile, kind: FileKind) -> memoryview:
    """Notes the metadata; the graph, not yet looked into."""
    graphs = []
    for number, value in fields(message):
        if number == 7:
            graphs.append(content(value))
        elif number == 14:
            entry = {key: text(part) for key, part in fields(content(value))}
            found.metadata[entry.get(1, "")] = entry.get(2, "")
        elif number in (20, 25):
            raise ModelFileError(f"it holds functions or training graphs, which an exported {kind.name} does not")
    if len(graphs) != 1:
        raise ModelFileError(f"it holds {len(graphs)} graphs, where one was expected")
    return graphs[0]


def _graph(message: memoryview, found: ModelFile, kind: FileKind) -> None:
    for number, value in fields(message):
        if number == 1:
            _node(content(value), found, kind)
        elif number == 5:
            _tensor(content(value), found)
        elif number == 15:
            raise ModelFileError(f"it holds sparse tensors, which an exported {kind.name} does not")


def _node(message: memoryview, found: ModelFile, kind: FileKind) -> None:
    operator = domain = ""
    for number, value in fields(message):
        if number == 4:
            operator = text(value)
        elif number == 7:
            domain = text(value)
        elif number == 5:
            for part, inner in fields(content(value)):
                if part == 5:
                    _tensor(content(inner), found)
                elif part in (6, 11, 22, 23):
                    raise ModelFileError(f"the operator {operator or 'of a node'} holds a sub-graph or sparse tensor")
    if domain not in ("", "ai.onnx") or operator not in kind.operators:
        name = f"{domain}.{operator}" if domain else operator
        raise ModelFileError(f"it holds the operator {name!r}, which no exported {kind.name} has")
    found.operators.add(operator)


def _tensor(message: memoryview, found: ModelFile) -> None:
    name, kind, location, size = "", 0, 0, None
    shape: list[int] = []
    external: dict[str, str] = {}
    for number, value in fields(message):
        if number == 1:
            shape += integers(value)
        elif number == 2:
            kind = integers(value)[0]
        elif number == 8:
            name = text(value)
        elif number == 9:
            size = len(content(value))
        elif number == 13:
            entry = {key: text(part) for key, part in fields(content(value))}
            external[entry.get(1, "")] = entry.get(2, "")
        elif number == 14:
            location = integers(value)[0]
    if kind not in _ITEM_BYTES or any(side < 0 for side in shape):
        raise ModelFileError(f"the tensor {name!r} is of kind {kind} and shape {shape}")
    expected = math.prod(shape) * _ITEM_BYTES[kind]
    if location == _EXTERNAL:
        _beside(name, external, expected, found)
    elif size is not None and size != expected:
        raise ModelFileError(f"the tensor {name!r} of shape {shape} has {size} bytes, where {expected} were expected")
    elif size is None and expected > len(message) * 8:
        raise ModelFileError(f"the tensor {name!r} of shape {shape} holds too few numbers")


def _beside(name: str, external: dict[str, str], expected: int, found: ModelFile) -> None:
    """Tensor data in another file, which must lie in the same folder."""
    location = external.get("location", "")
    pure = PurePosixPath(location)
    folder = found.path.resolve().parent
    if not location or "\\" in location or pure.is_absolute() or len(pure.parts) != 1 or pure.parts[0] == "..":
        raise ModelFileError(f"the data of the tensor {name!r} lie at {location!r}, outside of the file's own folder")
    place = folder / location
    if place.is_symlink() or not place.is_file():
        raise ModelFileError(f"{location!r} with the data of the tensor {name!r} is not in its folder")
    try:
        offset, length = int(external.get("offset", "0")), int(external.get("length", str(expected)))
    except ValueError as error:
        raise ModelFileError(f"the data of the tensor {name!r} lie at no number: {error}") from error
    if length != expected or not 0 <= offset <= place.stat().st_size - length:
        raise ModelFileError(f"{location!r} is too short, or the tensor {name!r} does not fit its data")
    found.beside.add(place)
