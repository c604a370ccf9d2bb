"""Rules for the outputs of operators that rearrange, select or reduce values: their shapes and known values."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sslhsic_transfer.adapters.onnx.runtime.given import Given, place_of
from sslhsic_transfer.adapters.onnx.runtime.graph_file import FLOAT, INT64, Tensor
from sslhsic_transfer.adapters.onnx.runtime.values import Bounds, Value, fits, of_numbers, of_tensor
from sslhsic_transfer.errors import ModelFileError


def _windows(given: Given) -> Iterator[Value]:
    """Compute the outputs of Conv, ConvTranspose and MaxPool."""
    operator = given.node.operator
    images, transposed = given[0], operator == "ConvTranspose"
    spatial = images.shape[2:]
    if operator == "MaxPool":
        channels, kernel = images.shape[1], given.positives("kernel_shape", ())
    else:
        weight = given[1].shape
        (group,) = given.positives("group", (1,))
        channels = weight[1] * group if transposed else weight[0]
        kernel = list(weight[2:])
        if weight[1] * (1 if transposed else group) != (weight[1] if transposed else images.shape[1]):
            raise ValueError(weight)
    rank = len(spatial)
    strides, dilations = (given.positives(name, (1,) * rank) for name in ("strides", "dilations"))
    pads = [int(pad) for pad in given.attribute("pads", (0,) * 2 * rank)]
    if min(pads, default=0) < 0:
        raise ModelFileError(f"its operator {operator} has pads {pads[:8]}")
    automatic = given.attribute("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    extra = given.attribute("output_padding", (0,) * rank)
    sides = []
    filled = images.filled and channels > 0
    for axis, side in enumerate(spatial):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        padded = pads[axis] + pads[rank + axis]
        filled &= not transposed and (automatic or padded >= reach - 1)  # then one pixel of input gives one of output
        if transposed:
            sides.append(max(0, strides[axis] * (side - 1) + extra[axis] + reach - padded))
        elif automatic:
            sides.append(-(-side // strides[axis]))
        else:
            rounding = strides[axis] - 1 if given.attribute("ceil_mode", 0) else 0
            sides.append(max(0, (side + padded - reach + rounding) // strides[axis] + 1))
    yield Value(images.kind, (images.shape[0], channels, *sides), filled=filled)
    yield Value(INT64, (images.shape[0], channels, *sides))


def _shape(given: Given) -> Iterator[Value]:
    value = given[0]
    sides = value.shape[slice(given.attribute("start", 0), given.attribute("end"))]
    yield of_numbers(INT64, np.array(sides, object) * value.exact, np.array(sides, object))


def _concat(given: Given) -> Iterator[Value]:
    parts = [given[position] for position in range(len(given.inputs))]
    rank = len(parts[0].shape)
    axis = given.axis(rank, 0)
    if any(len(part.shape) != rank for part in parts):
        raise ValueError(rank)
    shape = list(np.max([part.shape for part in parts], axis=0)) if rank else []
    shape = [int(side) for side in shape]
    shape[axis] = sum(part.shape[axis] for part in parts)
    known = [part.bounds for part in parts if part.bounds is not None]
    bounds = None
    if len(known) == len(parts) and fits(shape):
        pairs = zip(*((part.low, part.high) for part in known), strict=True)
        bounds = Bounds(*(np.concatenate(numbers, axis=axis) for numbers in pairs))
    yield Value(parts[0].kind, tuple(shape), bounds)


def _constant(given: Given) -> Iterator[Value]:
    attributes = given.node.attributes
    if isinstance(tensor := attributes.get("value"), Tensor):
        yield of_tensor(tensor)
        return
    ((name, values),) = attributes.items()
    kind = INT64 if name in ("value_int", "value_ints") else FLOAT
    yield of_numbers(kind, values)


def _moved(given: Given, shape: Sequence[int], change: Callable[[Any], Any] | None, kind: int | None = None) -> Value:
    """Make an output that holds the first input's values, or some of them, rearranged."""
    value = given[0]
    bounds = None if value.bounds is None or change is None or not fits(shape) else value.bounds.moved(change)
    if bounds is not None and bounds.low.shape != tuple(shape):
        bounds = None
    return Value(value.kind if kind is None else kind, tuple(shape), bounds)


def _gather(given: Given) -> Iterator[Value]:
    value, indices = given[0], given[1]
    axis = given.axis(len(value.shape), 0)
    shape = (*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :])
    known = indices.bounds is not None and indices.bounds.exact
    change = (lambda part: np.take(part, indices.bounds.low.astype(int), axis=axis)) if known else None  # type: ignore[union-attr]
    found = _moved(given, shape, change)
    if found.bounds is None and value.bounds is not None and value.count and fits(shape):
        low, high = min(value.bounds.ends), max(value.bounds.ends)
        found = Value(value.kind, shape, Bounds(np.full(shape, low, object), np.full(shape, high, object)))
    yield found


def _gather_nd(given: Given) -> Iterator[Value]:
    value, indices = given[0].shape, given[1].shape
    yield Value(given[0].kind, (*indices[:-1], *value[given.attribute("batch_dims", 0) + indices[-1] :]))


def _slice(given: Given) -> Iterator[Value]:
    value = given[0]
    rank = len(value.shape)
    length = len(given[1].shape) and given[1].shape[0]
    axes = given.numbers(3, "axes") or list(range(length))
    steps = given.numbers(4, "steps") or [1] * length
    starts, ends = given[1].bounds, given[2].bounds
    shape = list(value.shape)
    exact = value.exact
    places: list[Any] = [slice(None)] * rank
    for number, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        if step == 0:
            raise ModelFileError("its operator Slice has a step of 0")
        axis = place_of(axis, rank)
        if starts is None or ends is None or not (starts.exact and ends.exact):
            exact, places = False, []
            if step > 0 and ends is not None and starts is not None and starts.low[number] >= 0 <= ends.high[number]:
                shape[axis] = min(value.shape[axis], int(ends.high[number]))
            continue
        taken = slice(int(starts.low[number]), int(ends.low[number]), step)
        if step < 0 and taken.stop < -value.shape[axis]:
            taken = slice(taken.start, None, step)
        shape[axis] = len(range(*taken.indices(value.shape[axis])))
        if places:
            places[axis] = taken
    change = (lambda part: part[tuple(places)]) if places or not rank else None
    found = _moved(given, shape, change)
    yield Value(found.kind, found.shape, found.bounds, exact=exact)


def _reshape(given: Given) -> Iterator[Value]:
    value, target = given[0], given.most(1, "shape")
    lows: list[Any] = given[1].bounds.low.reshape(-1).tolist() if given[1].bounds is not None else []
    sides = []
    for place, side in enumerate(target):
        copied = side == 0 and not given.attribute("allowzero", 0) and lows[place] == 0 and place < len(value.shape)
        sides.append(value.shape[place] if copied else side)
    if -1 in sides:
        pairs = [(int(low), side) for low, side in zip(lows, sides, strict=True) if side != -1]
        rest = math.prod(max(1, low if low > 0 else side) for low, side in pairs)
        sides[sides.index(-1)] = -(-value.count // rest)
    yield _moved(given, sides, lambda part: part.reshape(sides) if part.size == math.prod(sides) else part)


def _flatten(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    axis = given.attribute("axis", 1) % (len(shape) + 1)
    yield _moved(given, (math.prod(shape[:axis]), math.prod(shape[axis:])), None)


def _squeeze(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    axes = given.numbers(1, "axes")
    gone = (
        {place_of(axis, len(shape)) for axis in axes}
        if axes is not None
        else {a for a, s in enumerate(shape) if s == 1}
    )
    left = [side for axis, side in enumerate(shape) if axis not in gone]
    yield _moved(given, left, lambda part: part.reshape(left))


def _unsqueeze(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    axes = given.numbers(1, "axes") or []
    rank = len(shape) + len(axes)
    new = {place_of(axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise ValueError(axes)
    rest = iter(shape)
    sides = [1 if axis in new else next(rest) for axis in range(rank)]
    yield _moved(given, sides, lambda part: part.reshape(sides))


def _transpose(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    order = given.attribute("perm", list(reversed(range(len(shape)))))
    if sorted(order) != list(range(len(shape))):
        raise ValueError(order)
    yield _moved(given, [shape[axis] for axis in order], lambda part: part.transpose(order))


def _reduce(given: Given) -> Iterator[Value]:
    value = given[0]
    axes = given.numbers(1, "axes")
    if not axes:
        axes = [] if given.attribute("noop_with_empty_axes", 0) else list(range(len(value.shape)))
    gone = tuple(place_of(axis, len(value.shape)) for axis in axes)
    kept = bool(given.attribute("keepdims", 1))
    shape = [1 if axis in gone else side for axis, side in enumerate(value.shape) if kept or axis not in gone]
    act = _REDUCED.get(given.node.operator)
    sound = act is not None and value.bounds is not None and value.count > 0
    if sound and given.node.operator == "ReduceProd":
        sound = bool((value.bounds.low >= 0).all())  # type: ignore[union-attr]
    yield _moved(given, shape, (lambda part: act(part, axis=gone, keepdims=kept)) if sound else None)  # type: ignore[misc]


_REDUCED: dict[str, Callable[..., Any]] = {
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceSum": np.sum,
    "ReduceProd": np.prod,
}
Rule = Callable[[Given], Iterator[Value]]
PLACES: dict[str, Rule] = {
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _windows,
    "ConvTranspose": _windows,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "MaxPool": _windows,
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), _reduce),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
