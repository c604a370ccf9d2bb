"""Knowledge of tensors before a graph runs: type, largest size, and the values that sizes are computed from.

The values of small tensors are kept as lower and upper bounds. They are Python's own numbers, which do not overflow.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.runtime.graph_file import DTYPES, SMALL, Tensor

Numbers = NDArray[np.object_]
Span = tuple[float, float]  # the least and the most
EVERYTHING: Span = (-math.inf, math.inf)


@dataclass(frozen=True)
class Bounds:
    """The least and the largest possible value of each number of a tensor."""

    low: Numbers
    high: Numbers

    @property
    def exact(self) -> bool:
        """True if lower and upper bounds are equal, so that the values are known."""
        return bool((self.low == self.high).all())

    @property
    def ends(self) -> list[Any]:
        """All lower and upper bounds in one list."""
        return [*self.low.reshape(-1).tolist(), *self.high.reshape(-1).tolist()]

    def moved(self, change: Callable[[Numbers], Numbers]) -> "Bounds":
        """Apply a rearrangement, or a monotone function, to both bounds."""
        return Bounds(as_numbers(change(self.low)), as_numbers(change(self.high)))


@dataclass(frozen=True)
class Value:
    """A tensor, as far as it is known.

    Attributes:
        kind: code of its type of numbers.
        shape: its sides, or the largest that they can be.
        bounds: bounds of its values; None if they are many or unknown.
        early: whether it depends on no pixels, so that it may be computed while the file is loaded.
        positive: whether each of its values is 1 or more for all pictures.
        filled: whether none of its sides can be 0 for any pictures.
        exact: whether the shape is exact rather than an upper bound.
        span: least and largest value, for any number of values; see `spans.span_of`.
    """

    kind: int
    shape: tuple[int, ...]
    bounds: Bounds | None = None
    early: bool = False
    positive: bool = False
    filled: bool = False
    exact: bool = True
    span: Span = EVERYTHING

    @property
    def count(self) -> int:
        """Its largest number of values."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Its largest size in bytes."""
        return self.count * DTYPES[self.kind].itemsize


def as_numbers(values: Any) -> Numbers:
    """Convert to an array of Python's own numbers."""
    return np.asarray(values).astype(object)


def of_tensor(tensor: Tensor) -> Value:
    """Make the value of a tensor stored in the file."""
    values = tensor.values
    bounds = None if values is None else Bounds(as_numbers(values), as_numbers(values))
    positive = values is not None and values.size > 0 and bool((values >= 1).all())
    finite = values is not None and values.size > 0 and bool(np.isfinite(values).all())
    span = (float(values.min()), float(values.max())) if values is not None and finite else EVERYTHING
    filled = 0 not in tensor.shape
    return Value(tensor.kind, tensor.shape, bounds, early=True, positive=positive, filled=filled, span=span)


def of_numbers(kind: int, low: Any, high: Any = None, **facts: Any) -> Value:
    """Make a small tensor with bounded or, without ``high``, known values."""
    lowest = as_numbers(low)
    highest = lowest if high is None else as_numbers(high)
    return Value(kind, lowest.shape, Bounds(lowest, highest), **facts)


def combined(operator: str, inputs: Sequence[Bounds], whole: bool) -> Bounds | None:
    """Compute bounds of an elementwise operator's output; None: they are unknown.

    Args:
        operator: its name.
        inputs: bounds of its inputs.
        whole: whether the numbers are integers.
    """
    if any(math.isnan(float(number)) for bounds in inputs for number in bounds.ends):
        return None
    if operator in _MONOTONE and len(inputs) == 1:
        change = np.frompyfunc(_MONOTONE[operator], 1, 1)
        return inputs[0].moved(change)
    if operator == "Neg":
        return Bounds(as_numbers(-inputs[0].high), as_numbers(-inputs[0].low))
    if operator == "Where":
        return _chosen(*inputs)
    if operator in ("Max", "Min") or (operator == "Clip" and len(inputs) == 3):
        return _extreme(operator, inputs)
    if len(inputs) != 2:
        return None
    first, second = inputs
    if operator in _COMPARED:
        return _compared(_COMPARED[operator], first, second)
    if operator in ("Div", "Mod") and bool((second.low <= 0).any()):
        return None  # the divisor may be 0 or negative
    if operator == "Mod":
        return Bounds(as_numbers(0 * first.low * second.low), as_numbers(second.high + 0 * first.low))
    if operator not in _ARITHMETIC:
        return None
    act = np.frompyfunc(_quotient if operator == "Div" and whole else _ARITHMETIC[operator], 2, 1)
    corners = [act(a, b) for a in (first.low, first.high) for b in (second.low, second.high)]
    return Bounds(_fold(np.minimum, corners), _fold(np.maximum, corners))


def _fold(act: Any, parts: Sequence[Any]) -> Numbers:
    found = parts[0]
    for part in parts[1:]:
        found = act(found, part)
    return as_numbers(found)


def _chosen(condition: Bounds, first: Bounds, second: Bounds) -> Bounds:
    low, high = np.minimum(first.low, second.low), np.maximum(first.high, second.high)
    always, never = condition.low.astype(bool), ~condition.high.astype(bool)
    return Bounds(
        as_numbers(np.where(always, first.low, np.where(never, second.low, low))),
        as_numbers(np.where(always, first.high, np.where(never, second.high, high))),
    )


def _extreme(operator: str, inputs: Sequence[Bounds]) -> Bounds:
    if operator == "Clip":
        value, least, most = inputs
        return _extreme("Min", (_extreme("Max", (value, least)), most))
    act = np.maximum if operator == "Max" else np.minimum
    return Bounds(_fold(act, [part.low for part in inputs]), _fold(act, [part.high for part in inputs]))


def _compared(test: Callable[[Any, Any], Any], first: Bounds, second: Bounds) -> Bounds:
    """Compute bounds of truth values, which are decided where both sides are known."""
    decided = np.logical_and((first.low == first.high).astype(bool), (second.low == second.high).astype(bool))
    truth = np.asarray(test(first.low, second.low)).astype(bool)
    return Bounds(
        as_numbers(np.where(decided, truth, False).astype(int)), as_numbers(np.where(decided, truth, True).astype(int))
    )


def _quotient(dividend: int, divisor: int) -> int:
    """Divide integers, rounding toward 0."""
    found = abs(dividend) // abs(divisor)
    return found if (dividend < 0) == (divisor < 0) else -found


def fits(shape: Sequence[int]) -> bool:
    """Check if a tensor is small enough for its values to be kept."""
    return math.prod(shape) <= SMALL


_MONOTONE: dict[str, Callable[[Any], Any]] = {
    "Ceil": math.ceil,
    "Floor": math.floor,
    "Round": round,
    "Identity": lambda x: x,
    "Relu": lambda x: max(x, 0),
    "Sqrt": lambda x: math.sqrt(max(x, 0)),
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
}
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": lambda a, b: a == b,
    "Greater": lambda a, b: a > b,
    "GreaterOrEqual": lambda a, b: a >= b,
    "Less": lambda a, b: a < b,
}
