"""Exported files with bytes and numbers changed: features of the right shape, or an error of ours."""

import json
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sslhsic_transfer import Preprocessing
from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.adapters.onnx.info import OnnxInfo
from sslhsic_transfer.adapters.onnx.runtime import weighing
from sslhsic_transfer.models.config import EncoderConfig
from tests.fuzzing import FORMS, Form, read_all

PICTURES = {
    "resized": np.random.default_rng(0).integers(0, 255, (2, 40, 48, 3), dtype=np.uint8),
    "normalized": np.random.default_rng(0).normal(size=(2, 3, 40, 48)).astype(np.float32),
}


# MiB: all that `weighing` lets through for these pictures; and ONNX Runtime itself.
MOST = (weighing._ALL + weighing._ALL_SHARE * PICTURES["resized"].size >> 20) + 200


def small(form: str) -> bytes:
    """Make a file like that of an exported ResNet-18, with one layer in place of the network."""
    floating = form == "normalized"
    shape = ["batch", 3, "height", "width"] if floating else ["batch", "height", "width", 3]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT if floating else TensorProto.UINT8, shape)
    pooled = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", 512])
    weights = np.random.default_rng(1).normal(size=(512, 3, 1, 1)).astype(np.float32)
    begin = [
        helper.make_node("Cast", ["images"], ["f"], to=1),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["t", "most"], ["n"]),
    ]
    nodes = [
        *([] if floating else begin),
        helper.make_node("MaxPool", ["images" if floating else "n"], ["m"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Shape", ["m"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "two"], ["b"]),
        helper.make_node("Concat", ["b", "sides"], ["r"], axis=0),
        helper.make_node("Resize", ["m", "", "", "r"], ["z"], mode="linear"),
        helper.make_node("Conv", ["z", "weights"], ["c"], pads=[0, 0, 0, 0], strides=[1, 1]),
        helper.make_node("Relu", ["c"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axes"], ["pooled"], keepdims=0),
    ]
    constants = {
        "weights": weights,
        "most": np.float32(255),
        "zero": np.int64([0]),
        "two": np.int64([2]),
        "sides": np.int64([9, 9]),
        "axes": np.int64([2, 3]),
    }
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [images], [pooled], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    info = OnnxInfo(
        model="trial",
        weights_sha256="0" * 64,
        encoder=EncoderConfig(architecture="resnet18"),
        preprocessing=Preprocessing.for_size(64),
        input=form,
        outputs=("pooled",),
        precision="fp32",
        opset=20,
        library_version="1",
    )
    for key, value in info.entries().items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


def _read(path: Path) -> None:
    encoder = OnnxEncoder.from_pretrained(path, threads=1)
    found = encoder(PICTURES["normalized" if encoder.info.input == "normalized" else "resized"])
    assert (found.shape, found.dtype) == ((2, 512), np.float32)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("form", PICTURES)
def test_whole_files_are_read(form, tmp_path):
    (tmp_path / "a.onnx").write_bytes(small(form))
    _read(tmp_path / "a.onnx")


@FORMS
def test_damaged_bytes(form: Form, tmp_path):
    whole = [small(kind) for kind in PICTURES]
    found = read_all(_read, form.inputs(whole, 250), tmp_path / "a.onnx", most=MOST)
    assert found["read"] > 20
    assert found["ModelFileError"] > 200


def _changed(content: bytes, random: Random) -> bytes:
    """Exchange one number, name or operator of the graph, or entry of the metadata; leave the file whole otherwise."""
    model = onnx.load_from_string(content)
    for _ in range(random.choice((1, 1, 2))):
        _change(model, random)
    return model.SerializeToString()


def _change(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    number = random.choice((-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 1024, 65537, 2**31 - 1, 2**33, 2**63 - 1))
    node = random.choice(graph.node)
    numbered = [one for one in node.attribute if one.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)]
    names = [value for one in graph.node for value in (*one.input, *one.output) if value]
    operators = sorted({one.op_type for one in graph.node} | {"Sub", "Add", "Mul", "Concat", "Clip", "Gemm", "Round"})
    match random.randrange(8):
        case 0 | 1 if numbered:
            attribute = random.choice(numbered)
            if attribute.ints:
                attribute.ints[random.randrange(len(attribute.ints))] = number
            else:
                attribute.i = number
        case 2 | 3:
            tensor = random.choice([one for one in graph.initializer if one.name != "weights"])
            values = numpy_helper.to_array(tensor).copy()
            values.reshape(-1)[random.randrange(values.size)] = (
                number if values.dtype == np.int64 else random.choice((0.0, -1.0, np.inf, np.nan, 1e38))
            )
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        case 4 if node.input:
            node.input[random.randrange(len(node.input))] = random.choice(names)
        case 5:
            node.op_type = random.choice(operators)
        case 6:
            kind = random.choice((graph.input, graph.output))[0].type.tensor_type
            if random.random() < 0.5 and kind.shape.dim:
                random.choice(kind.shape.dim).dim_value = number
            else:
                kind.elem_type = random.randrange(17)
        case _:
            entry = random.choice(model.metadata_props)
            entry.value = random.choice(("", "{}", "[]", "null", "1e999", json.dumps({"a": number}), entry.value * 2))


@FORMS
def test_changed_graphs(form: Form, tmp_path):
    whole = [small(kind) for kind in PICTURES]
    found = read_all(_read, form.inputs(whole, 150, _changed), tmp_path / "a.onnx", most=MOST)
    assert found["read"] > 20
    assert found["ModelFileError"] > 100
