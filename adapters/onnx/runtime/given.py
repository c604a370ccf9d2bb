"""Inputs and attributes of an operator, as far as they are known before a graph runs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sslhsic_transfer.adapters.onnx.runtime.graph_file import FLOAT, UINT8, Node, Port
from sslhsic_transfer.adapters.onnx.runtime.values import EVERYTHING, Bounds, Value
from sslhsic_transfer.errors import ModelFileError

_LARGEST_SIDE = 1 << 31
_LEAST = 32  # assumed pixels of a free side
MOST_FIXED = 1 << 27  # values of an input of fixed size, to which smaller batches are filled up


def ports_as_asked(port: Port, tried: tuple[int, int, int], what: str) -> Value:
    """Make the value of a file's input pictures, of its own sides where fixed, else of the sides to try.

    Args:
        port: the input.
        tried: number of pictures, height and width to try.
        what: the kind of file, for the message.

    Raises:
        ModelFileError: the input is not a batch of pictures, (B, 3, H, W) float32 or (B, H, W, 3) uint8, or is fixed to
            more than 134 million values.
    """
    batch, height, width = tried
    wanted = {FLOAT: (batch, 3, height, width), UINT8: (batch, height, width, 3)}.get(port.kind)
    sides = port.shape or ()
    if wanted is None or len(sides) != 4 or any(side is not None and not 0 < side < _LARGEST_SIDE for side in sides):
        raise ModelFileError(
            f"its input {port.name[:80]!r} is of kind {port.kind} and sides {list(sides)[:8]}, where an exported "
            f"{what} takes (B, 3, H, W) float32 or (B, H, W, 3) uint8"
        )
    least = (1, *(min(side, _LEAST) for side in wanted[1:]))
    if (fixed := math.prod(own or side for own, side in zip(sides, least, strict=True))) > MOST_FIXED:
        raise ModelFileError(
            f"its input {port.name[:80]!r} is fixed to sides {list(sides)}, {fixed} numbers, more than {MOST_FIXED}"
        )
    shape = tuple(own or side for own, side in zip(sides, wanted, strict=True))
    if shape[1 if port.kind == FLOAT else 3] != 3:
        raise ModelFileError(f"its input {port.name[:80]!r} of sides {list(sides)} has not three channels")
    return Value(port.kind, shape, filled=True, span=(0, 255) if port.kind == UINT8 else EVERYTHING)


class Given:
    """A node's inputs and attributes."""

    def __init__(self, node: Node, inputs: Sequence[Value | None]) -> None:
        self.node = node
        self.inputs = inputs

    def __getitem__(self, position: int) -> Value:
        found = self.optional(position)
        if found is None:
            raise IndexError(position)
        return found

    def optional(self, position: int) -> Value | None:
        """Return an input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.node.attributes.get(name, default)

    def axis(self, rank: int, default: int) -> int:
        """Return the attribute that names an axis, counted from the first."""
        return place_of(self.attribute("axis", default), rank)

    def numbers(self, position: int, name: str) -> list[int] | None:
        """Return integers of an input or, in older operators, of an attribute; None if there is neither."""
        value = self.optional(position)
        if value is None:
            found = self.attribute(name)
            return None if found is None else [int(number) for number in np.atleast_1d(found)]
        bounds = self._bounds(position)
        if not bounds.exact:
            raise self.unknown(name)
        return [int(number) for number in bounds.low.reshape(-1)]

    def most(self, position: int, name: str) -> list[int]:
        """Return the largest possible values of an input's integers."""
        self[position]
        return [int(number) for number in self._bounds(position).high.reshape(-1)]

    def _bounds(self, position: int) -> Bounds:
        bounds = self[position].bounds
        if bounds is None:
            raise self.unknown(f"input {position}")
        return bounds

    def unknown(self, name: str) -> ModelFileError:
        """Make the error for a size that has no known bound."""
        return ModelFileError(f"its operator {self.node.operator} takes a size ({name}) that cannot be told beforehand")

    def positives(self, name: str, default: Sequence[int]) -> list[int]:
        """Return integers of an attribute that must be 1 or more, such as strides."""
        found = [int(number) for number in np.atleast_1d(self.attribute(name, default))]
        if any(not 0 < number < _LARGEST_SIDE for number in found):
            raise ModelFileError(f"its operator {self.node.operator} has {name} {found[:8]}")
        return found


def place_of(axis: int, rank: int) -> int:
    """Return the number of an axis, counted from the first.

    Raises:
        IndexError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise IndexError(axis)
    return axis % rank
