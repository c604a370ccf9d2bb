"""Files that are cut off, foreign or made to harm are refused before anything runs them."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime.model_file import inspect
from sslhsic_transfer.errors import ModelFileError, ModelNotFoundError, SSLHSICError


def graph(*nodes, initializers=(), **attributes):
    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    output = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)
    made = helper.make_graph(list(nodes), "g", [value], [output], list(initializers))
    return helper.make_model(made, **{"opset_imports": [helper.make_opsetid("", 20)], **attributes})


def node(operator, inputs=("images",), **attributes):
    return helper.make_node(operator, list(inputs), ["pooled"], **attributes)


@pytest.fixture
def save(tmp_path):
    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def test_an_exported_file_is_read_as_onnx_reads_it(files):
    for path in files.glob("*.onnx"):
        found, model = inspect(path), onnx.load(path)
        assert found.metadata == {entry.key: entry.value for entry in model.metadata_props}
        assert found.operators == {part.op_type for part in model.graph.node}
        assert found.content == path.read_bytes()
        assert not found.beside


def test_no_file_and_an_empty_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match="sslhsic export MODEL"):
        inspect(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelFileError, match="it is empty: fetch or save it again"):
        inspect(tmp_path / "model.onnx")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_files_that_are_cut_off(files, tmp_path, share):
    whole = (files / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelFileError, match=r"Export or fetch it again|says nothing"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_noise_is_refused_by_an_error_of_ours(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "noise.onnx"
    path.write_bytes(content)
    with pytest.raises(SSLHSICError):
        OnnxEncoder.from_pretrained(path)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_of_the_graph_is_refused_or_harmless(files, position, value, tmp_path_factory):
    content = bytearray((files / "int8.onnx").read_bytes())
    weights = content.find(b"layer1")  # the nodes stand before the weights
    content[int(position * weights)] = value
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(content)
    try:
        found = OnnxEncoder.from_pretrained(path)(np.zeros((1, 3, 64, 64), np.float32))
    except SSLHSICError:
        return
    assert found.dtype == np.float32
    assert len(found) == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph(node("ConstantOfShape")), "'ConstantOfShape', which no exported encoder has"),
        (graph(node("Loop")), "'Loop'"),
        (graph(helper.make_node("Relu", ["images"], ["pooled"], domain="evil.corp")), "'evil.corp.Relu'"),
        (graph(node("If", then_branch=graph(node("Relu")).graph, else_branch=graph(node("Relu")).graph)), "sub-graph"),
        (
            graph(
                node("Relu"),
                functions=[helper.make_function("d", "F", ["x"], ["y"], [], [helper.make_opsetid("", 20)])],
            ),
            "functions",
        ),
        (
            graph(node("Relu"), initializers=[TensorProto(name="w", data_type=1, dims=[1 << 40], raw_data=b"1234")]),
            r"'w' of shape \[1099511627776\] has 4 bytes",
        ),
        (
            graph(node("Relu"), initializers=[TensorProto(name="w", data_type=1, dims=[1 << 40])]),
            "holds too few numbers",
        ),
        (graph(node("Relu"), initializers=[TensorProto(name="w", data_type=1, dims=[-3])]), r"shape \[-3\]"),
        (graph(node("Relu"), initializers=[TensorProto(name="w", data_type=8, dims=[1])]), "of kind 8"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_no_encoder_holds(model, words, save):
    with pytest.raises(ModelFileError, match=words):
        inspect(save(model))


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "a/../../secret", "sub/inside", "..", "", "C:\\secret", "link"],
)
def test_tensor_data_outside_of_the_files_folder(location, save, tmp_path):
    secret = tmp_path.parent / "secret"
    secret.write_bytes(bytes(16))
    (tmp_path / "link").symlink_to(secret)
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ModelFileError, match=r"outside of the file's own folder|is not in its folder"):
        inspect(save(graph(node("Relu"), initializers=[tensor])))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"offset": "8"}, "too short"),
        ({"offset": "-4"}, "too short"),
        ({"length": "12"}, "does not fit"),
        ({"offset": "x"}, "no number"),
    ],
    ids=str,
)
def test_tensor_data_that_do_not_fit(entries, words, save, tmp_path):
    (tmp_path / "data").write_bytes(bytes(16))
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": "data"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(ModelFileError, match=words):
        inspect(save(graph(node("Relu"), initializers=[tensor])))


def test_a_side_whose_name_is_no_text(files, tmp_path):
    content = (files / "fixed.onnx").read_bytes()
    model = onnx.load_from_string(content)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "a_name"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString().replace(b"a_name", b"a\x80name"[:6]))
    with pytest.raises(ModelFileError, match="a name is not UTF-8"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")


def test_features_of_another_size_than_is_declared(files, tmp_path):
    model = onnx.load(files / "model.onnx")
    last = next(node for node in model.graph.node if "pooled" in node.output)
    last.output[list(last.output).index("pooled")] = "whole"
    for name, value in (("begin", [0]), ("end", [100]), ("second", [1])):
        model.graph.initializer.append(numpy_helper.from_array(np.int64(value), name))
    model.graph.node.append(helper.make_node("Slice", ["whole", "begin", "end", "second"], ["pooled"]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match=r"sides|cannot be run"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")(np.zeros((1, 3, 64, 64), np.float32))


def test_a_file_of_somebody_else(save):
    with pytest.raises(ModelFileError, match="no encoder exported by this library"):
        OnnxEncoder.from_pretrained(save(graph(node("Relu"))))


def test_metadata_that_do_not_fit_the_graph(files, tmp_path):
    model = onnx.load(files / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == "sslhsic.outputs":
            entry.value = '["pooled"]'
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match="gives pooled, c2"):
        OnnxEncoder.from_pretrained(tmp_path / "model.onnx")
