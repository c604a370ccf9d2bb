"""Preprocessing as the first nodes of a graph, which then takes uint8 pictures, so that servers need no extra code."""

from typing import Any

import numpy as np

from sslhsic_transfer.adapters.onnx.graph import INPUT
from sslhsic_transfer.adapters.onnx.info import InputForm
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.models.preprocessing import Preprocessing

_NAME = "pictures"
_PREFIX = "prepare"


def prepend(model: Any, preprocessing: Preprocessing, form: InputForm) -> None:
    """Put preprocessing in front of a graph, in place; its input becomes ``pictures``, (B, H, W, 3) uint8.

    Args:
        model: an ``onnx.ModelProto`` whose input is normalized pictures.
        preprocessing: the encoder's preprocessing.
        form: ``"resized"``: scaling and normalization; ``"pictures"``: also resizing and cropping. All pictures of a
            batch must then have the same size, which may be any.

    Raises:
        ConfigError: the graph's fixed height and width differ from the crop, or the resizing has no ONNX operator.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    batch, _, *sides = graph.input[0].type.tensor_type.shape.dim
    build = _Builder()
    value = build.node("Transpose", [_NAME], perm=[0, 3, 1, 2])
    value = build.node("Cast", [value], to=TensorProto.FLOAT)
    shape: list[Any] = [_dim(batch), *(_dim(side) for side in sides), 3]
    if form == "pictures":
        if any(isinstance(_dim(side), int) and _dim(side) != preprocessing.crop for side in sides):
            raise ConfigError(
                f"Got a fixed size of {_dim(sides[0])} × {_dim(sides[1])}; the preprocessing in the graph makes "
                f"{preprocessing.crop} × {preprocessing.crop}."
            )
        if preprocessing.style == "byol-jax":
            value = _cut_and_resized(build, value, preprocessing)
        else:
            value = _cropped(build, _resized(build, value, preprocessing), preprocessing.crop)
        shape = [_dim(batch), "picture_height", "picture_width", 3]
    mean, std = (np.asarray(numbers, np.float64) for numbers in (preprocessing.mean, preprocessing.std))
    value = build.node("Mul", [value, build.constant((1 / (255 * std)).astype(np.float32).reshape(1, 3, 1, 1))])
    offset = build.constant((-mean / std).astype(np.float32).reshape(1, 3, 1, 1))
    build.nodes.append(helper.make_node("Add", [value, offset], [INPUT], name=f"{_PREFIX}_add_normalized"))
    nodes = [*build.nodes, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(build.initializers)
    graph.input.append(helper.make_tensor_value_info(_NAME, TensorProto.UINT8, shape))


class _Builder:
    """Builder of nodes and constants with unique names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"{_PREFIX}_{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        from onnx import numpy_helper

        name = f"{_PREFIX}_constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integer(self, value: int) -> str:
        return self.constant([value], np.int64)

    def scalar(self, value: int) -> str:
        return self.constant(value, np.int64)


def _resized(build: _Builder, value: str, preprocessing: Preprocessing) -> str:
    """Resize the short side to its length and the other in proportion, rounded down; values are rounded to integers.

    One side is resized after the other and each result rounded half up, as in torch's kernels for bytes. In a single
    step a fifth of the pixels would differ by 1 of 255, and a few beside hard edges by up to 7.
    """
    from onnx import TensorProto

    sides = build.node("Shape", [value], start=2)
    short = build.node("ReduceMin", [sides], keepdims=1)
    scaled = build.node("Mul", [sides, build.integer(preprocessing.resize)])
    size = build.node("Div", [scaled, short])  # integer division rounds down, as torchvision does
    method: dict[str, Any]
    if preprocessing.interpolation == "nearest":
        method = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        cubic = preprocessing.interpolation == "bicubic"
        method = {"mode": "cubic" if cubic else "linear", "coordinate_transformation_mode": "half_pixel"}
        method |= {"antialias": 1} if preprocessing.antialias else {}
        method |= {"cubic_coeff_a": -0.5 if preprocessing.antialias else -0.75} if cubic else {}
    half, low, high = (build.constant(number, np.float32) for number in (0.5001, 0, 255))  # a half may come out less
    unchanged = build.node("Shape", [value], end=2)
    height = build.node("Slice", [sides, build.integer(0), build.integer(1)])
    width = build.node("Slice", [size, build.integer(1), build.integer(2)])
    # All four sides are given, because ONNX Runtime fails on Resize with axes when it moves the transposition past it.
    for target in ([unchanged, height, width], [unchanged, size]):
        value = build.node("Resize", [value, "", "", build.node("Concat", target, axis=0)], **method)
        value = build.node("Clip", [build.node("Add", [value, half]), low, high])
        value = build.node("Cast", [build.node("Cast", [value], to=TensorProto.INT32)], to=TensorProto.FLOAT)
    return value


def _cropped(build: _Builder, value: str, crop: int) -> str:
    """Crop the center; (side - crop) / 2 is rounded half to even, as in Python and torchvision."""
    from onnx import TensorProto

    sides = build.node("Cast", [build.node("Shape", [value], start=2)], to=TensorProto.FLOAT)
    free = build.node("Sub", [sides, build.constant([crop], np.float32)])
    middle = build.node("Round", [build.node("Mul", [free, build.constant([0.5], np.float32)])])
    start = build.node("Cast", [middle], to=TensorProto.INT64)
    end = build.node("Add", [start, build.integer(crop)])
    return build.node("Slice", [value, start, end, build.constant([2, 3], np.int64)])


def _cut_and_resized(build: _Builder, value: str, preprocessing: Preprocessing) -> str:
    """Crop the square of `Preprocessing.center` and resize it as `resize_bicubic` does, rounding once, to integers."""
    sides = build.node("Shape", [value], start=2)
    short = build.node("Mul", [build.node("ReduceMin", [sides], keepdims=1), build.integer(preprocessing.crop)])
    side = build.node("Clip", [build.node("Div", [short, build.integer(preprocessing.resize)]), build.scalar(1)])
    free = build.node("Sub", [sides, side])
    start = build.node("Div", [build.node("Add", [free, build.integer(1)]), build.integer(2)])
    end = build.node("Add", [start, side])
    value = build.node("Slice", [value, start, end, build.constant([2, 3], np.int64)])
    unchanged = build.node("Shape", [value], end=2)
    size = build.node("Concat", [unchanged, build.constant([preprocessing.crop] * 2, np.int64)], axis=0)
    value = build.node(
        "Resize",
        [value, "", "", size],
        mode="cubic",
        cubic_coeff_a=-0.5,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )
    low, high = (build.constant(number, np.float32) for number in (0, 255))
    return build.node("Clip", [build.node("Round", [value]), low, high])


def _dim(dim: Any) -> Any:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param
