"""Least and largest possible values of tensors of any size, as far as the graph guarantees them.

Regions are clipped to the picture before features are read from them; these spans are all that bounds the cost of
reading. They do not cover NaN.
"""

import math
from collections.abc import Sequence

from sslhsic_transfer.adapters.onnx.runtime.graph_file import DOUBLE, FLOAT, Node
from sslhsic_transfer.adapters.onnx.runtime.values import EVERYTHING, Span, Value

# Operators that return some or all of the first input's values, perhaps rearranged.
_KEEPS = frozenset(
    {
        *("Expand", "Flatten", "Gather", "GatherND", "Identity", "ReduceMax", "ReduceMin", "Reshape", "Slice", "Split"),
        *("Squeeze", "Tile", "Transpose", "Unsqueeze"),
    }
)


def span_of(node: Node, inputs: Sequence[Value | None], made: Value) -> Span:
    """Compute the least and largest possible value of an operator's first output.

    Args:
        node: the operator.
        inputs: its inputs; None for one that is left out.
        made: its first output, as known so far.
    """
    if made.bounds is not None and made.count:
        ends = [float(end) for end in made.bounds.ends]
        return EVERYTHING if any(map(math.isnan, ends)) else (min(ends), max(ends))
    spans = [EVERYTHING if value is None else value.span for value in inputs]
    operator = node.operator
    if operator in _KEEPS or operator == "TopK":
        return spans[0]
    if operator == "Cast":
        return spans[0] if node.attributes["to"] in (FLOAT, DOUBLE) else EVERYTHING
    if operator == "Concat":
        return _either(spans)
    if operator == "Where":
        return _either(spans[1:])
    if operator in ("ScatterElements", "ScatterND"):
        return _either((spans[0], spans[2])) if node.attributes.get("reduction", b"none") == b"none" else EVERYTHING
    if operator in ("Sigmoid", "Softmax"):
        return 0.0, 1.0
    if operator == "Clip":
        for limit, other, span in zip(("Max", "Min"), inputs[1:], spans[1:], strict=False):
            spans[0] = spans[0] if other is None else _computed(limit, (spans[0], span))
        return spans[0]
    return _computed(operator, spans)


def _computed(operator: str, spans: Sequence[Span]) -> Span:
    if operator in ("Max", "Min"):
        choose = max if operator == "Max" else min
        return choose(low for low, _ in spans), choose(high for _, high in spans)
    if operator == "Relu":
        return max(spans[0][0], 0.0), max(spans[0][1], 0.0)
    if operator == "Neg":
        return -spans[0][1], -spans[0][0]
    if operator not in ("Add", "Sub", "Mul", "Div"):
        return EVERYTHING
    (low, high), (other_low, other_high) = spans
    if operator == "Add":
        return _sound(low + other_low, high + other_high)
    if operator == "Sub":
        return _sound(low - other_high, high - other_low)
    if operator == "Div":
        if other_low <= 0:
            return EVERYTHING
        other_low, other_high = 1 / other_high, 1 / other_low
    corners = [one * other for one in (low, high) for other in (other_low, other_high)]
    return EVERYTHING if any(map(math.isnan, corners)) else (min(corners), max(corners))


def _either(spans: Sequence[Span]) -> Span:
    return min(low for low, _ in spans), max(high for _, high in spans)


def _sound(low: float, high: float) -> Span:
    return -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high
