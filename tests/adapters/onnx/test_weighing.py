"""Files that would take gigabytes or end the process are refused by what stands in them."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime import weighing
from sslhsic_transfer.adapters.onnx.runtime.graph_file import read_graph
from sslhsic_transfer.adapters.onnx.runtime.model_file import inspect
from sslhsic_transfer.adapters.onnx.runtime.operators import DENSE
from sslhsic_transfer.errors import ModelFileError


def constant(name, value, dtype=np.int64):
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def nodes(text):
    """``name = Operator(input, …) attribute=value``, one a line; the network's own nodes come behind."""
    made = []
    for line in text.strip().splitlines():
        output, _, rest = line.strip().partition(" = ")
        operator, _, rest = rest.partition("(")
        inputs, _, attributes = rest.partition(")")
        given = [name.strip() for name in inputs.split(",")] if inputs.strip() else []
        values = {key: eval(value) for key, value in (pair.split("=") for pair in attributes.split())}
        made.append(helper.make_node(operator, given, output.split(","), **values))
    return made


@pytest.fixture(scope="module")
def poisoned(files, tmp_path_factory):
    """Write an exported encoder with further nodes, which its outputs need not depend on."""
    model = onnx.load(files / "resized.onnx")
    path = tmp_path_factory.mktemp("poisoned") / "model.onnx"

    def write(text, **constants):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for name, value in constants.items():
            tensor = value if isinstance(value, TensorProto) else constant(name, value)
            tensor.name = name
            changed.graph.initializer.append(tensor)
        old = list(changed.graph.node)
        del changed.graph.node[:]
        changed.graph.node.extend([*nodes(text), *old])
        path.write_bytes(changed.SerializeToString())
        return path

    return write


ROW, COLUMN = (constant("", np.zeros(shape), np.float32) for shape in ((4096, 1), (1, 4096)))
BOMBS = {
    "a sum": ("x = Concat(row, row, row, row, row, row) axis=0\ny = Concat(x, x, x) axis=0\n"
              "z = Add(y, column)\nw = Mul(y, z)", {"row": ROW, "column": COLUMN}),
    "one after another": (
        "\n".join(f"x{n} = Add(row, column)\ny{n} = Relu(x{n})" for n in range(20)), {"row": ROW, "column": COLUMN}
    ),
    "copies": (
        "\n".join(f"x{n + 1} = Concat(x{n}, x{n}) axis=0" for n in range(20)), {"x0": ROW}
    ),
    "resize": ('x = Resize(a, , , s) mode="nearest"', {"a": constant("", np.zeros((1, 1, 1, 1)), np.float32),
               "s": [1, 1, 60_000, 60_000]}),
    "scales": ('x = Resize(a, , s) mode="nearest"', {"a": constant("", np.zeros((1, 1, 1, 1)), np.float32),
               "s": constant("", [1, 1, 6e4, 6e4], np.float32)}),
    "sides in proportion": (
        'x = Resize(a, , , s) mode="nearest" keep_aspect_ratio_policy="not_smaller"',
        {"a": constant("", np.zeros((1, 1, 1, 40)), np.float32), "s": [1, 1, 40_000, 1]},
    ),
    "pictures": ('f = Cast(pictures) to=1\nx = Resize(f, , s) mode="nearest"',
                 {"s": constant("", [1, 60, 60, 60], np.float32)}),
    "infinite scales": ('f = Cast(pictures) to=1\nx = Resize(f, , s) mode="nearest"',
                        {"s": constant("", [1, 1, math.inf, math.nan], np.float32)}),
    "sizes of pixels": ('f = Cast(pictures) to=7\ns = ReduceSum(f) keepdims=0\nr = ReduceMin(f) keepdims=0\n'
                        't = Slice(f, a, b)\nx = Resize(pictures, , , t) mode="nearest"', {"a": [0], "b": [1]}),
    "convolution": ("f = Cast(pictures) to=1\nx = Conv(f, w) pads=[100000,100000,100000,100000]",
                    {"w": constant("", np.zeros((1, 64, 1, 1)), np.float32)}),
    "a stride of 0": ("f = Transpose(pictures) perm=[0,3,1,2]\ng = Cast(f) to=1\nx = Conv(g, w) strides=[0,0]",
                      {"w": constant("", np.zeros((1, 3, 1, 1)), np.float32)}),
    "no groups": ("f = Transpose(pictures) perm=[0,3,1,2]\ng = Cast(f) to=1\nx = Conv(g, w) group=0",
                  {"w": constant("", np.zeros((1, 3, 1, 1)), np.float32)}),
    "a window of 0": ("f = Cast(pictures) to=1\nx = MaxPool(f) kernel_shape=[0,0] strides=[1,1]", {}),
    "division": ("x = Div(a, b)", {"a": [1, 2], "b": [1, 0]}),
    "division of bytes": ("x = Div(a, b)", {"a": constant("", [1], np.uint8), "b": constant("", [0], np.uint8)}),
    "the least over -1": ("x = Div(a, b)", {"a": [-(2**63)], "b": [-1]}),
    "division by pixels": ("f = Cast(pictures) to=7\nx = Div(f, f)", {}),
    "division by a side less 64": ("s = Shape(pictures)\nd = Sub(s, c)\nx = Div(s, d)", {"c": [64]}),
    "division by a difference": ("d = Sub(a, b)\nx = Div(a, d)", {"a": [5], "b": [5]}),
    "division by a product that overflows": ("p = Mul(a, a)\nx = Div(a, p)", {"a": [2**32]}),
    "mean of whole numbers": ("f = Cast(pictures) to=7\nx = ReduceMean(f)", {}),
    "halved": ("s = Shape(pictures)\nh = Div(s, t)\nx = Div(s, h)", {"t": [1000]}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_take_gigabytes_or_end_the_process(name, poisoned):
    text, constants = BOMBS[name]
    path = poisoned(text, **constants)
    with pytest.raises(ModelFileError, match=r"is not run: .*\. Export or fetch it again"):
        OnnxEncoder.from_pretrained(path)


MAPS = {
    "expand": ("x = Expand(a, s)", {"a": constant("", 0, np.float32), "s": [60_000, 60_000]}),
    "tile": ("x = Tile(a, s)", {"a": constant("", [[0]], np.float32), "s": [60_000, 60_000]}),
    "pad": ("x = Pad(a, s)", {"a": constant("", [[0]], np.float32), "s": [60_000, 60_000, 0, 0]}),
    "fill": ("x = ConstantOfShape(s)", {"s": [60_000, 60_000]}),
    "count": ("x = Range(a, b, c)", {"a": constant("", 0), "b": constant("", 2**33), "c": constant("", 1)}),
    "count for ever": ("x = Range(a, b, c)", {"a": constant("", 0), "b": constant("", 9), "c": constant("", 0)}),
    "one hot": ("x = OneHot(i, d, v)", {"i": np.arange(4000), "d": constant("", 2**22), "v": [0, 1]}),
    "a product": ("x = MatMul(row, column)\ny = MatMul(x, x)\nz = MatMul(y, y)", {
        "row": constant("", np.zeros((9000, 1)), np.float32), "column": constant("", np.zeros((1, 9000)), np.float32)}),
    "the remainder": ("x = Mod(a, b)", {"a": [1], "b": [0]}),
    "negative": ("x = ConstantOfShape(s)", {"s": [-5]}),
    "parts": ("x,y = Split(a) num_outputs=0 axis=0", {"a": [1, 2]}),
    "regions": ("f = Cast(pictures) to=1\nx = RoiAlign(f, r, i) output_height=60000 output_width=60000", {
        "r": constant("", np.zeros((9, 4)), np.float32), "i": np.zeros(9)}),
    "a region of 10¹² places": ("f = Cast(pictures) to=1\nx = RoiAlign(f, r, i)", {
        "r": constant("", [[0, 0, 1e6, 1e6]], np.float32), "i": np.zeros(1)}),
    "regions of pixels": ("f = Cast(pictures) to=1\ng = Exp(f)\nr = Reshape(g, s)\nx = RoiAlign(f, r, i)", {
        "s": [-1, 4], "i": np.zeros(9)}),
    "regions with one border": ("f = Cast(pictures) to=1\ng = Exp(f)\nh = Max(g, a)\nr = Reshape(h, s)\n"
                                "x = RoiAlign(f, r, i)", {
        "s": [-1, 4], "i": np.zeros(9), "a": constant("", 0, np.float32)}),
    "regions beyond any scale": ("f = Cast(pictures) to=1\nx = RoiAlign(f, f, i) spatial_scale=1e30", {
        "i": np.zeros(9)}),
    "many samples of many regions": (
        "f = Cast(pictures) to=1\nr = Expand(c, n)\ni = Expand(z, m)\nx = RoiAlign(f, r, i)", {
            "c": constant("", [[0, 0, 2000, 2000]], np.float32), "n": [100_000, 4], "z": [0], "m": [100_000]}),
    "many samples": ("f = Cast(pictures) to=1\nx = RoiAlign(f, r, i) output_height=900 output_width=900 "
                     "sampling_ratio=9", {"r": constant("", np.zeros((1, 4)), np.float32), "i": np.zeros(1)}),
    "an axis twice": ("x = Unsqueeze(a, b)", {"a": [1], "b": [0, 0]}),
    "an axis that is a text": ('x = Concat(a, a) axis="a"', {"a": [1]}),
    "pixels as a shape": ("f = Cast(pictures) to=7\ns = Reshape(f, m)\nx = ConstantOfShape(s)", {"m": [-1]}),
    "a sum of pixels": ("f = Cast(pictures) to=7\ns = ReduceSum(f) keepdims=0\nt = Unsqueeze(s, m)\n"
                        "x = ConstantOfShape(t)", {"m": [0]}),
    "transposed": ("f = Cast(pictures) to=1\nx = ConvTranspose(f, w) strides=[100000,100000]",
                   {"w": constant("", np.zeros((64, 1, 1, 1)), np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_operators_of_dense_models(name, poisoned):
    text, constants = MAPS[name]
    path = poisoned(text, **constants)
    model = onnx.load(path)
    model.metadata_props.add(key="sslhsic.task", value="segmentation")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="is not run: "):
        inspect(path, DENSE)


@pytest.mark.parametrize(("index", "made"), [(1, [3, 5, 3]), (-1, [3, 3, 5]), (3, [3, 3, 3])])
def test_one_hot_numbers_are_known(index, made, poisoned):
    """Detectron2's exported detectors make shapes of them."""
    walk = _walk(poisoned("x = OneHot(i, n, v)", i=index, n=3, v=[3, 5]), (1, 3, 64, 64))
    assert walk.known["x"].bounds.low.tolist() == walk.known["x"].bounds.high.tolist() == made


SPANS = {
    "Clip(f, low, high)": (0, 7),
    "Clip(f, low)": (0, 255),
    "Clip(f, , high)": (0, 7),
    "Clip(e, low, high)": (-1, 7),
    "Clip(e, e, high)": (-math.inf, 7),
    "Min(e, high)": (-math.inf, 7),
    "Max(e, high)": (7, math.inf),
    "Sub(f, high)": (-7, 248),
    "Mul(f, low)": (-255, 0),
    "Div(f, high)": (0, 255 / 7),
    "Div(f, low)": (-math.inf, math.inf),
    "Add(e, high)": (-math.inf, math.inf),
    "Neg(f)": (-255, 0),
    "Relu(n)": (0, 0),
    "Sigmoid(e)": (0, 1),
    "Where(c, f, n)": (-255, 255),
    "Concat(f, n) axis=0": (-255, 255),
    "Transpose(n)": (-255, 0),
    "Reshape(n, s)": (-255, 0),
    "ScatterND(n, s, f)": (-255, 255),
    "TopK(n, s)": (-255, 0),
    "Exp(f)": (-math.inf, math.inf),
}


@pytest.mark.parametrize("operator", SPANS)
def test_the_least_and_the_most_of_many_numbers(operator, poisoned):
    text = f"f = Cast(pictures) to=1\ne = Exp(f)\nn = Neg(f)\nx = {operator}"
    constants = {"low": constant("", -1, np.float32), "high": constant("", 7, np.float32), "s": [-1], "c": [True]}
    assert _walk(poisoned(text, **constants), (1, 3, 64, 64)).known["x"].span == pytest.approx(SPANS[operator])


def test_names_kinds_and_order(poisoned, files):
    for text, constants, words in (
        ("x = Relu(y)\ny = Relu(pictures)", {}, "takes 'y', which nothing before it makes"),
        ("pictures = Relu(a)", {"a": [1]}, "'pictures' in it is made twice"),
        ("x = Cast(pictures) to=8", {}, "unknown kind 8"),
        ("x = Concat(a, b) axis=0", {"a": [1], "b": [[1]]}, "does not fit"),
        ("x = Transpose(pictures) perm=[0,0,1,2]", {}, "does not fit"),
        ("x = Slice(pictures, a, b, c, d)", {"a": [0], "b": [9], "c": [1], "d": [0]}, "a step of 0"),
        ("x = Conv(pictures)", {}, "does not fit"),
    ):
        with pytest.raises(ModelFileError, match=words):
            OnnxEncoder.from_pretrained(poisoned(text, **constants))


@pytest.mark.parametrize(("opset", "fits"), [(17, False), (18, True), (23, True), (24, False), (0, False)])
def test_versions_of_operators(opset, fits, files, tmp_path):
    model = onnx.load(files / "model.onnx")
    model.opset_import[0].version = opset
    onnx.save(model, tmp_path / "model.onnx")
    if fits:
        assert inspect(tmp_path / "model.onnx").opset == opset
    else:
        with pytest.raises(ModelFileError, match=rf"of version {opset} \(opset\); known are 18 to 23"):
            inspect(tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL])
@pytest.mark.parametrize("sides", [None, [], ["b"], ["b", 3, "h", "w"], ["b", 3, 4, 5, 6]], ids=str)
def test_inputs_of_other_kinds_and_ranks(kind, sides, files, tmp_path):
    model = onnx.load(files / "model.onnx")
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(model.graph.input[0].name, kind, sides))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match=r"takes \(B, 3, H, W\) float32 or \(B, H, W, 3\) uint8"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")


@pytest.mark.parametrize(("batch", "height"), [(65537, None), (None, 2**27), (2**20, 64), (65537, "h")])
def test_inputs_that_are_fixed_to_many_pictures(batch, height, files, tmp_path):
    """Few pictures would be filled up to so many."""
    model = onnx.load(files / "fixed.onnx")
    sides = [batch or "b", 3, height or 64, "w" if height == "h" else 64]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(model.graph.input[0].name, TensorProto.FLOAT, sides))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match=r"is fixed to sides .* numbers, more than 134217728"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")


@pytest.mark.parametrize("sides", [[], ["b"], ["b", 512, 1], None], ids=str)
@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT])
def test_outputs_of_other_kinds_and_ranks(kind, sides, files, tmp_path):
    model = onnx.load(files / "fixed.onnx")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("pooled", kind, sides))
    onnx.save(model, tmp_path / "model.onnx")
    if (kind, sides) == (TensorProto.FLOAT, None):  # ONNX Runtime finds out what is not declared
        assert OnnxEncoder.from_pretrained(tmp_path / "model.onnx").session.get_outputs()[0].shape == [4, 512]
        return
    with pytest.raises(ModelFileError, match="again"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")


def test_exported_files_are_weighed_as_they_run(files, tmp_path):
    """Every tensor between has the shape and kind that ONNX Runtime gives it."""
    for name, shape in (("model", (2, 3, 97, 160)), ("int8", (1, 3, 64, 64)), ("pictures", (2, 97, 160, 3))):
        model = onnx.load(files / f"{name}.onnx")
        walk = _walk(files / f"{name}.onnx", shape)
        there = {output.name for output in model.graph.output}
        names = [output for node in model.graph.node for output in node.output if output not in there]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        given_ = session.get_inputs()[0]
        images = (
            np.random.default_rng(0)
            .integers(0, 255, shape)
            .astype(np.uint8 if given_.type == "tensor(uint8)" else np.float32)
        )
        for found, value in zip(session.get_outputs(), session.run(None, {given_.name: images}), strict=True):
            assert walk.known[found.name].shape == value.shape, found.name
            assert helper.tensor_dtype_to_np_dtype(walk.known[found.name].kind) == value.dtype, found.name
            bounds = walk.known[found.name].bounds
            if bounds is not None:
                assert (bounds.low.astype(float) <= value + 1e-3).all(), found.name
                assert (bounds.high.astype(float) >= value - 1e-3).all(), found.name
            low, high = walk.known[found.name].span
            assert low - 1e-3 <= value.astype(float).min(initial=np.inf), found.name
            assert high + 1e-3 >= value.astype(float).max(initial=-np.inf), found.name


def _walk(path, shape):
    from sslhsic_transfer.adapters.onnx.runtime.given import ports_as_asked
    from sslhsic_transfer.adapters.onnx.runtime.wire import fields

    graph = read_graph(next(value for number, value in fields(memoryview(path.read_bytes())) if number == 7))
    sizes = (shape[0], *(shape[2:] if shape[1] == 3 else shape[1:3]))
    walk = weighing._Walk(graph, path.stat().st_size, ports_as_asked(graph.inputs[0], sizes, "encoder"))
    walk.run()
    return walk
