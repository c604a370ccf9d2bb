"""Inspection of an ONNX file before it is run: metadata, operators, tensors, files beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sslhsic_transfer._content import what_it_is_instead
from sslhsic_transfer.adapters.onnx.info import kind_of, says_nothing
from sslhsic_transfer.adapters.onnx.runtime.graph_file import FLOAT, Graph, Tensor, read_graph
from sslhsic_transfer.adapters.onnx.runtime.operators import ENCODER, KINDS, OPSETS, FileKind
from sslhsic_transfer.adapters.onnx.runtime.weighing import weigh
from sslhsic_transfer.adapters.onnx.runtime.wire import content, fields, integers, text
from sslhsic_transfer.errors import InputError, ModelFileError, ModelNotFoundError
from sslhsic_transfer.hub.names import refuse_address

_MOST_CHECKED = 10_000  # remembered shapes of pictures
_LARGEST = (1 << 31) - 1  # largest Protocol Buffers message in bytes


@dataclass
class ModelFile:
    """The content of an inspected file.

    Attributes:
        path: the file.
        content: its bytes.
        metadata: its metadata entries.
        operators: names of operators, with their domain if it is not the standard one.
        beside: files that hold its external tensors, and their bytes.
        size: its size in bytes, including the files beside it.
        opset: version of its operators.
        doubtful: its graph, if some sizes of pictures may cause a division by 0 or high costs; else None.
    """

    path: Path
    content: bytes = field(repr=False)
    metadata: dict[str, str] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    beside: dict[Path, bytes] = field(default_factory=dict, repr=False)
    size: int = 0
    opset: int = 0
    doubtful: Graph | None = field(default=None, repr=False)
    _checked: set[tuple[int, ...]] = field(default_factory=set, repr=False)

    def check_pictures(self, shape: tuple[int, ...]) -> None:
        """Check that the graph does not divide by 0 for pictures of a shape, which would end the process.

        Args:
            shape: (B, 3, H, W) or (B, H, W, 3), as the file takes them.

        Raises:
            InputError: the graph may divide by 0 or cost too much for this shape.
        """
        if self.doubtful is None or shape in self._checked:
            return
        channels_first = self.doubtful.inputs[0].kind == FLOAT
        height, width = shape[2:] if channels_first else shape[1:3]
        try:
            weigh(self.doubtful, self.size, "model", [(shape[0], height, width)])
        except ModelFileError as error:
            raise InputError(
                f"{self.path} cannot take pictures of {height} × {width} pixels: {error}. Crop them nearer to a square."
            ) from error
        if len(self._checked) < _MOST_CHECKED:
            self._checked.add(shape)


def inspect(path: str | Path, kind: FileKind = ENCODER) -> ModelFile:
    """Read a file's structure and refuse anything that an exported model of its kind cannot hold.

    Args:
        path: the file.
        kind: `ENCODER` or `DENSE` of `sslhsic_transfer.adapters.onnx.runtime.operators`.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelFileError: the file is truncated, not ONNX or of the other kind; it holds operators, functions or
            sub-graphs that its kind does not have, tensors whose shape does not fit their data, or data outside of its
            folder; or it would take far more memory than its size and its pictures account for, or divide by 0.
    """
    path = Path(path)
    if not path.is_file():
        refuse_address(str(path))
        raise ModelNotFoundError(f"There is no file {path}. Make one: sslhsic export MODEL --output {path}")
    if (size := path.stat().st_size) > _LARGEST:
        raise ModelFileError(f"{path} has {size} bytes, an ONNX file at most {_LARGEST}. Export or fetch it again.")
    found = ModelFile(path, path.read_bytes())
    if instead := what_it_is_instead(found.content):
        raise ModelFileError(f"{path} is no ONNX file: {instead}.")
    with _telling(path):
        graph = _model(memoryview(found.content), found, kind)
    if (other := kind_of(found.metadata)) is not None and other != kind.name:
        raise ModelFileError(f"{path} is an exported {other}, no {kind.name}: open it by {KINDS[other].opener}.")
    with _telling(path):
        parts = read_graph(graph)
        _check_operators(parts, found, kind)
    if other is None:
        raise says_nothing(str(path), kind.name)
    with _telling(path):
        if found.opset not in OPSETS:
            raise ModelFileError(
                f"its operators are of version {found.opset} (opset); known are {OPSETS.start} to {OPSETS.stop - 1}"
            )
        found.size = size + sum(len(content) for content in found.beside.values())
        if weigh(parts, found.size, kind.name):
            if kind is ENCODER:
                raise ModelFileError("its operators divide integers by what may be 0")
            found.doubtful = parts
    return found


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{path} is not run: {error}. Export or fetch it again.") from None


def _model(message: memoryview, found: ModelFile, kind: FileKind) -> memoryview:
    """Read the metadata and return the graph's bytes, which are not yet parsed."""
    graphs = []
    for number, value in fields(message):
        if number == 7:
            graphs.append(content(value))
        elif number == 14:
            entry = {key: text(part) for key, part in fields(content(value))}
            found.metadata[entry.get(1, "")] = entry.get(2, "")
        elif number == 8:
            version = dict(fields(content(value)))
            if text(version.get(1, memoryview(b""))) in ("", "ai.onnx"):
                found.opset = integers(version.get(2, 0))[0]
        elif number in (20, 25):
            raise ModelFileError(f"it holds functions or training graphs, which an exported {kind.name} does not")
    if len(graphs) != 1:
        raise ModelFileError(f"it holds {len(graphs)} graphs, where one was expected")
    return graphs[0]


def _check_operators(graph: Graph, found: ModelFile, kind: FileKind) -> None:
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx") or node.operator not in kind.operators:
            name = f"{node.domain}.{node.operator}" if node.domain else node.operator
            raise ModelFileError(f"it holds the operator {name[:80]!r}, which no exported {kind.name} has")
        found.operators.add(node.operator)
        for value in node.attributes.values():
            if isinstance(value, Tensor) and value.external is not None:
                raise ModelFileError(f"its operator {node.operator} has a tensor in another file")
    for tensor in graph.tensors:
        if tensor.external is not None:
            _beside(tensor, tensor.external, found)


def _beside(tensor: Tensor, external: dict[str, str], found: ModelFile) -> None:
    """Read the file that holds a tensor's data, which must lie in the same folder."""
    name, expected = tensor.name[:80], tensor.size
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
    if place not in found.beside:
        found.beside[place] = place.read_bytes()
    if offset + length > len(found.beside[place]):
        raise ModelFileError(f"{location!r} was cut off while it was read")
