"""Estimate of a graph's cost before it runs: the size of every tensor, and divisors that may be 0.

While it loads a file, ONNX Runtime computes everything that does not depend on pictures, and an integer division by 0
ends the process. The graph is therefore walked through here for pictures of two sizes, with the shapes of tensors and
the values that shapes are computed from.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sslhsic_transfer.adapters.onnx.runtime.given import Given, ports_as_asked
from sslhsic_transfer.adapters.onnx.runtime.graph_file import BOOL, DTYPES, INT64, Graph, Node
from sslhsic_transfer.adapters.onnx.runtime.making import RULES, broadcast, samples_of
from sslhsic_transfer.adapters.onnx.runtime.spans import span_of
from sslhsic_transfer.adapters.onnx.runtime.values import Bounds, Value, combined, fits, of_tensor
from sslhsic_transfer.errors import ModelFileError

_TRIED = ((1, 64, 64), (2, 97, 160))  # pictures, height, width
_LARGEST_EARLY = 1 << 26  # bytes that loading may compute, beyond what the file's own tensors account for
_EARLY_SHARE = 8  # times the file's size, for int8 and float16 weights as float32 and their products with scales
_LARGEST = 1 << 29  # bytes of one tensor, beyond what the pictures account for
_SHARE = 4096  # bytes of one tensor per value of the input; wide networks with a small stem have 1,400
_ALL = 1 << 31  # bytes of all tensors, likewise
_ALL_SHARE = 1 << 16
_SAMPLES = 1 << 32  # samples of regions over all channels; takes seconds
_SAMPLES_SHARE = 1 << 16  # samples per value of the input; a thousand regions as large as the picture take 18,000
_COMPARING = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "And", "Or", "Not", "Xor"})
# Elementwise operators.
_BY_PLACE = _COMPARING | {
    *(
        "Add",
        "Cast",
        "Ceil",
        "Clip",
        "Cos",
        "Div",
        "Exp",
        "Floor",
        "Gelu",
        "Identity",
        "Log",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
    ),
    *("Reciprocal", "Relu", "Round", "Sigmoid", "Sin", "Softplus", "Sqrt", "Sub", "Where"),
}
_KEEPS_POSITIVE = frozenset(
    {"Concat", "Expand", "Gather", "Identity", "ReduceMax", "ReduceMin", "Reshape", "Slice", "Squeeze", "Transpose"}
    | {"Unsqueeze", "Max", "Min"}
)


def weigh(graph: Graph, file_size: int, what: str, tried: Sequence[tuple[int, int, int]] = _TRIED) -> bool:
    """Refuse a graph that takes far more than its file or its pictures account for, or may divide by 0.

    Args:
        graph: the graph of a file that holds known operators only.
        file_size: size in bytes of the file and those beside it.
        what: the kind of file for messages, such as "encoder".
        tried: number of pictures, height and width of each try; dimensions fixed by the file are kept.

    Returns:
        True if other sizes of pictures must be checked too, because the graph divides by sides that may be 0 for them,
        or has costs that grow with the pictures in an unusual way.

    Raises:
        ModelFileError: the graph is refused; also if its input is not a batch of pictures, a node is not valid, or a
            size cannot be determined.
    """
    if len(graph.inputs) != 1:
        raise ModelFileError(f"it takes {len(graph.inputs)} inputs, where an exported {what} takes one")
    walks = [_Walk(graph, file_size, ports_as_asked(graph.inputs[0], sizes, what)) for sizes in tried]
    doubts = [walk.run() for walk in walks]  # run all of them, as any may be refused
    return any(doubts)


class _Walk:
    """One walk over the nodes of a graph in their order."""

    def __init__(self, graph: Graph, file_size: int, pictures: Value) -> None:
        self.graph = graph
        self.doubtful = False
        self.early = _LARGEST_EARLY + _EARLY_SHARE * file_size
        self.largest = _LARGEST + _SHARE * pictures.count
        self.all = _ALL + _ALL_SHARE * pictures.count
        self.samples = _SAMPLES + _SAMPLES_SHARE * pictures.count
        self.known = {tensor.name: of_tensor(tensor) for tensor in graph.tensors}
        self.known[graph.inputs[0].name] = pictures

    def run(self) -> bool:
        for node in self.graph.nodes:
            try:
                results = self._results(node)
            except ModelFileError:
                raise
            except Exception as error:  # any type, as the rules assume valid nodes
                raise ModelFileError(
                    f"its operator {node.operator} ({', '.join(node.outputs)[:80]}) does not fit what it is given"
                ) from error
            for name, value in zip(node.outputs, results, strict=False):
                self._keep(name, value, node)
        self._check_outputs()
        return self.doubtful

    def _results(self, node: Node) -> list[Value]:
        given = [self._find(name, node) if name else None for name in node.inputs]
        there = [value for value in given if value is not None]
        if any(value.kind not in DTYPES for value in there):
            raise ModelFileError(f"its operator {node.operator} takes numbers of an unknown kind")
        if node.operator in ("Div", "Mod", "ReduceMean"):
            self._check_divisor(node, there)
        early = node.operator == "Shape" or all(value.early for value in there)
        positive = node.operator in _KEEPS_POSITIVE and all(
            value.positive for value in (there if node.operator in ("Concat", "Max", "Min") else there[:1])
        )
        filled = node.operator in (_BY_PLACE | {"Transpose"}) and all(value.filled for value in there)
        if node.operator == "Shape":
            positive = there[0].filled
        if node.operator == "Cast" and there[0].positive and node.attributes["to"] == INT64:
            positive = True
        if node.operator in _BY_PLACE:
            found = [_by_place(node, given, there)]
        else:
            found = list(RULES[node.operator](Given(node, given)))
        if node.operator == "RoiAlign":
            self._check_regions(Given(node, given))
        exact = all(value.exact for value in there)
        made = [
            Value(one.kind, one.shape, one.bounds, early, positive, filled or one.filled, exact and one.exact)
            for one in found
        ]
        if node.operator == "Split":
            return [replace(one, span=span_of(node, given, one)) for one in made]
        return [replace(made[0], span=span_of(node, given, made[0])), *made[1:]]

    def _check_divisor(self, node: Node, there: Sequence[Value]) -> None:
        if np.issubdtype(DTYPES[there[0].kind], np.floating) or (node.operator != "ReduceMean" and there[1].positive):
            return
        bounds = there[1].bounds if node.operator != "ReduceMean" else None
        if bounds is None or not bool((bounds.low >= 1).all()):
            raise ModelFileError(f"its operator {node.operator} divides integers by what may be 0")
        self.doubtful = True

    def _check_regions(self, given: Given) -> None:
        work = samples_of(given) * given[1].shape[0] * given[0].shape[1]
        self.samples -= work
        if self.samples < 0:
            raise ModelFileError(f"its operator RoiAlign takes {work} samples, for which its pictures do not account")
        self.doubtful |= not given.attribute("sampling_ratio", 0)  # else samples depend on the pictures' size

    def _find(self, name: str, node: Node) -> Value:
        if name not in self.known:
            raise ModelFileError(f"its operator {node.operator} takes {name[:80]!r}, which nothing before it makes")
        return self.known[name]

    def _keep(self, name: str, value: Value, node: Node) -> None:
        if not name:
            return
        if name in self.known:
            raise ModelFileError(f"{name[:80]!r} in it is made twice")
        if min(value.shape, default=0) < 0:
            raise ModelFileError(f"its operator {node.operator} makes a tensor of shape {value.shape}")
        if value.early:
            self.early -= value.size
        self.all -= value.size
        if min(self.early, self.all) < 0 or value.size > self.largest:
            raise ModelFileError(
                f"its operator {node.operator} makes a tensor of shape {value.shape}, of {value.size} bytes, "
                "for which neither the file nor its pictures account"
            )
        self.known[name] = value

    def _check_outputs(self) -> None:
        for port in self.graph.outputs:
            if port.name not in self.known:
                raise ModelFileError(f"its output {port.name[:80]!r} is made by none of its operators")
            found = self.known[port.name]
            if port.kind != found.kind or (port.shape is not None and len(port.shape) != len(found.shape)):
                raise ModelFileError(f"its output {port.name[:80]!r} is not of the kind and rank that it declares")


def _by_place(node: Node, given: Sequence[Value | None], there: Sequence[Value]) -> Value:
    operator = node.operator
    kind = there[1 if operator == "Where" else 0].kind
    if operator in _COMPARING:
        kind = BOOL
    if operator == "Cast":
        kind = node.attributes["to"]
        if kind not in DTYPES:
            raise ModelFileError(f"it casts to numbers of the unknown kind {kind}")
    shape = broadcast([value.shape for value in there])
    known = [value.bounds for value in there if value.bounds is not None]
    bounds = None
    if len(known) == len(there) and fits(shape):
        whole = np.issubdtype(DTYPES[kind], np.integer)
        if operator == "Cast":
            bounds = _cast(known[0], kind)
        elif operator == "Clip":
            bounds = _clipped(given)
        else:
            bounds = _within(combined(operator, known, whole), shape)
    return Value(kind, shape, bounds)


def _within(bounds: Bounds | None, shape: tuple[int, ...]) -> Bounds | None:
    """Broadcast bounds to their tensor's shape; return None if 64-bit integers might overflow."""
    if bounds is None:
        return None
    if any(not abs(number) < 1 << 62 for number in bounds.ends):
        return None
    return bounds.moved(lambda part: np.broadcast_to(part, shape))


def _cast(bounds: Bounds, kind: int) -> Bounds | None:
    if kind == BOOL:
        return bounds.moved(lambda part: part != 0) if bounds.exact else None
    if not np.issubdtype(DTYPES[kind], np.integer):
        return bounds
    if any(not math.isfinite(number) for number in bounds.ends):
        return None
    found = bounds.moved(np.frompyfunc(int, 1, 1))
    limits = np.iinfo(DTYPES[kind])
    inside = all(limits.min <= number <= limits.max for number in found.ends)
    return found if inside else None


def _clipped(given: Sequence[Value | None]) -> Bounds | None:
    value, *limits = (one.bounds if one is not None else None for one in given)
    for limit, operator in zip(limits, ("Max", "Min"), strict=False):
        if value is not None and limit is not None:
            value = combined(operator, (value, limit), True)
    return value
