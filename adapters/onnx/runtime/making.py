"""Rules for the output shapes of operators whose sizes come from the file or the pictures; the table of all rules."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sslhsic_transfer.adapters.onnx.runtime.given import Given, place_of
from sslhsic_transfer.adapters.onnx.runtime.graph_file import INT64, Tensor
from sslhsic_transfer.adapters.onnx.runtime.shapes import PLACES, Rule
from sslhsic_transfer.adapters.onnx.runtime.values import Bounds, Value, fits, of_numbers
from sslhsic_transfer.errors import ModelFileError

_LARGEST_RATIO = 64  # samples along one side of a region's bin
_MOST_SAMPLES = 1 << 22  # per region, 48 bytes each in every thread; enough for a region of 8,000 × 8,000 pixels


def broadcast(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Compute the broadcast shape of several shapes; of two upper bounds the larger counts."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(0 if 0 in sides else max(sides) for sides in zip(*padded, strict=True))


def _same(given: Given) -> Iterator[Value]:
    yield Value(given[0].kind, given[0].shape)


def _quantized(given: Given) -> Iterator[Value]:
    last = given.optional(2)
    if given.node.operator == "DequantizeLinear":
        yield Value(given[1].kind, given[0].shape)
    elif last is not None:
        yield Value(last.kind, given[0].shape)
    else:
        raise given.unknown("zero point")


def _gemm(given: Given) -> Iterator[Value]:
    (rows, a), (b, columns) = (
        given[place].shape[:: -1 if given.attribute(name, 0) else 1] for place, name in ((0, "transA"), (1, "transB"))
    )
    if a != b:
        raise ValueError(a)
    yield Value(given[0].kind, (rows, columns))


def _matmul(given: Given) -> Iterator[Value]:
    first, second = given[0].shape, given[1].shape
    if len(first) < 2 or len(second) < 2 or first[-1] != second[-2]:
        raise ValueError(first)
    yield Value(given[0].kind, (*broadcast([first[:-2], second[:-2]]), first[-2], second[-1]))


def _pooled(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    yield Value(given[0].kind, (*shape[:2], *(1,) * (len(shape) - 2)))


def _resized(given: Given) -> Iterator[Value]:
    shape = given[0].shape
    if given.attribute("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise ModelFileError("its operator Resize keeps the aspect ratio, which no exported file has it do")
    axes = given.attribute("axes") or range(len(shape))
    sides = list(shape)
    if given.optional(3) is not None:
        asked = given.most(3, "sizes")
    else:
        bounds = given[2].bounds
        if bounds is None or len(bounds.high) != len(axes):
            raise given.unknown("scales")
        asked = [math.ceil(float(scale) * shape[axis]) for axis, scale in zip(axes, bounds.high, strict=True)]
    for axis, side in zip(axes, asked, strict=True):
        sides[axis] = side
    sizes = given.optional(3)
    yield Value(given[0].kind, tuple(sides), filled=given[0].filled and sizes is not None and sizes.positive)


def _expanded(given: Given) -> Iterator[Value]:
    shape = broadcast([given[0].shape, given.most(1, "shape")])
    bounds = given[0].bounds
    if bounds is not None and fits(shape):
        bounds = Bounds(*(np.broadcast_to(part, shape) for part in (bounds.low, bounds.high)))
    yield Value(given[0].kind, shape, bounds if fits(shape) else None)


def _tiled(given: Given) -> Iterator[Value]:
    repeats = given.most(1, "repeats")
    yield Value(given[0].kind, tuple(s * n for s, n in zip(given[0].shape, repeats, strict=True)))


def _padded(given: Given) -> Iterator[Value]:
    shape, pads = given[0].shape, given.most(1, "pads")
    axes = given.numbers(3, "axes") or list(range(len(shape)))
    sides = list(shape)
    for place, axis in enumerate(axes):
        sides[axis] = max(0, sides[axis] + pads[place] + pads[len(axes) + place])
    if len(pads) != 2 * len(axes):
        raise ValueError(pads)
    yield Value(given[0].kind, tuple(sides))


def _range(given: Given) -> Iterator[Value]:
    parts = [given[place].bounds for place in range(3)]
    if any(part is None for part in parts):
        raise given.unknown("limits")
    start, limit, step = ((part.low.item(), part.high.item()) for part in parts if part is not None)
    if step[0] <= 0 <= step[1]:
        raise ModelFileError("its operator Range has a step that may be 0")
    longest = limit[1] - start[0] if step[0] > 0 else start[1] - limit[0]
    count = max(0, math.ceil(longest / min(abs(step[0]), abs(step[1]))))
    exact = all(part is not None and part.exact for part in parts)
    if exact and fits((count,)) and given[0].kind == INT64:
        yield of_numbers(INT64, np.array([start[0] + place * step[0] for place in range(count)], object))
    else:
        yield Value(given[0].kind, (count,), exact=exact)


def _constant_of_shape(given: Given) -> Iterator[Value]:
    shape = tuple(given.most(0, "shape"))
    value = given.attribute("value")
    kind = value.kind if isinstance(value, Tensor) else 1
    number: Any = value.values.reshape(-1)[0].item() if isinstance(value, Tensor) and value.values is not None else 0.0
    exact = given[0].bounds is not None and given[0].bounds.exact
    filled = np.full(shape, number, object) if fits(shape) and min(shape, default=0) >= 0 else None
    yield Value(kind, shape, None if filled is None else Bounds(filled, filled), exact=exact)


def _one_hot(given: Given) -> Iterator[Value]:
    shape, (depth,) = given[0].shape, given.most(1, "depth")
    axis = place_of(given.attribute("axis", -1), len(shape) + 1)
    made = (*shape[:axis], depth, *shape[axis:])
    indices, values = given[0].bounds, given[2].bounds
    bounds = None
    if fits(made) and given[1].bounds is not None and given[1].bounds.exact and indices and indices.exact and values:
        places = np.arange(depth).reshape(-1, *(1,) * (len(shape) - axis))
        asked = np.expand_dims(indices.low, axis)
        chosen = (asked == places) | (asked == places - depth)  # indices out of range choose none
        bounds = values.moved(lambda ends: np.where(chosen, ends[1], ends[0]))
    yield Value(given[2].kind, made, bounds)


def samples_of(given: Given) -> int:
    """Compute the largest number of samples that RoiAlign takes for one region and channel.

    Raises:
        ModelFileError: the number has no bound, or is too large.
    """
    sides = [given.positives(name, (1,))[0] for name in ("output_height", "output_width")]
    ratio = given.attribute("sampling_ratio", 0)
    if not 0 <= ratio <= _LARGEST_RATIO:
        raise ModelFileError("its operator RoiAlign has a sampling_ratio beyond 64")
    low, high = given[1].span
    extent = (high - low) * abs(given.attribute("spatial_scale", 1.0))  # largest extent of a region on the maps
    if not ratio and not math.isfinite(extent):
        raise ModelFileError("its operator RoiAlign takes samples by the size of regions that nothing bounds")
    samples = math.prod(side * (ratio or math.ceil(max(1.0, extent) / side)) for side in sides)
    if samples > _MOST_SAMPLES:
        raise ModelFileError(f"its operator RoiAlign takes {samples} samples of a region, at most {_MOST_SAMPLES} fit")
    return samples


def _regions(given: Given) -> Iterator[Value]:
    sides = [given.positives(name, (1,))[0] for name in ("output_height", "output_width")]
    yield Value(given[0].kind, (given[1].shape[0], given[0].shape[1], *sides))


def _suppressed(given: Given) -> Iterator[Value]:
    batch, classes, boxes = given[1].shape
    most = given.optional(2)
    each = boxes if most is None or most.bounds is None else min(boxes, int(max(most.bounds.ends)))
    yield Value(INT64, (batch * classes * max(0, each), 3), exact=False)


def _non_zero(given: Given) -> Iterator[Value]:
    yield Value(INT64, (len(given[0].shape), given[0].count), exact=False)


def _best(given: Given) -> Iterator[Value]:
    shape = list(given[0].shape)
    axis = given.axis(len(shape), -1)
    bounds = given[1].bounds
    exact = bounds is not None and bounds.exact
    shape[axis] = shape[axis] if bounds is None else min(shape[axis], max(0, int(max(bounds.ends))))
    yield Value(given[0].kind, tuple(shape), exact=exact)
    yield Value(INT64, tuple(shape), exact=exact)


def _arg_max(given: Given) -> Iterator[Value]:
    shape = list(given[0].shape)
    axis = given.axis(len(shape), 0)
    shape[axis : axis + 1] = [1] if given.attribute("keepdims", 1) else []
    yield Value(INT64, tuple(shape))


def _split(given: Given) -> Iterator[Value]:
    shape = list(given[0].shape)
    axis = given.axis(len(shape), 0)
    count = len(given.node.outputs)
    sides = given.most(1, "split") if given.optional(1) is not None else None
    if sides is None:
        (asked,) = given.positives("num_outputs", (count,))
        each = -(-shape[axis] // asked)
        sides = [max(0, min(each, shape[axis] - place * each)) for place in range(asked)]
    start = 0
    for side in sides:
        part = (*shape[:axis], side, *shape[axis + 1 :])
        bounds, taken = given[0].bounds, (*(slice(None),) * axis, slice(start, start + side))
        moved = None if bounds is None else bounds.moved(lambda values, taken=taken: values[taken])  # type: ignore[misc]
        yield Value(given[0].kind, part, moved if moved is not None and moved.low.shape == part else None)
        start += side


RULES: dict[str, Rule] = PLACES | {
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "ScatterElements", "ScatterND", "Softmax"), _same),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _quantized),
    "ArgMax": _arg_max,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expanded,
    "Gemm": _gemm,
    "GlobalAveragePool": _pooled,
    "MatMul": _matmul,
    "NonMaxSuppression": _suppressed,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _padded,
    "Range": _range,
    "Resize": _resized,
    "RoiAlign": _regions,
    "Split": _split,
    "Tile": _tiled,
    "TopK": _best,
}
