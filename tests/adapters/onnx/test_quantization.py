"""Int8: how ranges are found, what stays in float, and what the processor asks for."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from sslhsic_transfer.adapters.onnx import Quantization, export, exporting, quantization
from sslhsic_transfer.adapters.onnx.graph import encoder_graph
from sslhsic_transfer.errors import ConfigError


@pytest.fixture(scope="module")
def graph(encoder):
    return encoder_graph(encoder, ("pooled",))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(20, 3, 64, 64)).astype(np.float32)


def weights(model):
    """The int8 weights by name."""
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    }


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_every_method(graph, images, method):
    model = quantization.as_int8(graph, images, Quantization(method=method))
    assert len(weights(model)) == 20
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}


def test_weights_are_scaled_by_channel_and_the_mean_stays_in_float(graph, images):
    model = quantization.as_int8(graph, images, Quantization())
    scales = [t for t in model.graph.initializer if t.name.endswith("_scale") and list(t.dims) == [64]]
    assert scales
    mean = next(node for node in model.graph.node if node.op_type == "ReduceMean")
    assert mean.output[0] == "pooled"


def test_ranges_come_from_the_pictures(graph, images):
    narrow, wide = (
        quantization.as_int8(graph, factor * images, Quantization(method="minmax")) for factor in (0.1, 10.0)
    )

    def scale(model):
        return next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "images_scale")

    assert scale(wide) == pytest.approx(100 * scale(narrow), rel=1e-3)


def test_the_percentile_leaves_the_rarest_values_out(graph, images):
    cut, whole = (quantization.as_int8(graph, images, Quantization("percentile", share)) for share in (90, 100))
    scales = [
        next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "images_scale")
        for model in (cut, whole)
    ]
    assert scales[0] < 0.6 * scales[1]


def test_many_pictures_to_calibrate_with_are_chosen_evenly(encoder, digits, monkeypatch):
    monkeypatch.setattr(exporting, "_MOST_CALIBRATION", 3)
    paths, transform = sorted((digits / "test").rglob("*.jpg")), encoder.preprocessing.transform()
    found = exporting._prepared(encoder.preprocessing, digits / "test", None)
    np.testing.assert_array_equal(found, np.stack([transform(paths[index]).numpy() for index in (0, 12, 23)]))


def test_reduced_range_keeps_weights_within_seven_bits(graph, images):
    for reduce_range, most in ((True, 64), (False, 127)):
        model = quantization.as_int8(graph, images[:4], Quantization(reduce_range=reduce_range))
        assert max(abs(values.astype(int)).max() for values in weights(model).values()) <= most
    assert max(abs(values.astype(int)).max() for values in weights(model).values()) > 64


def test_convolutions_that_are_skipped_stay_in_float(graph, images):
    first = next(node.name for node in graph.graph.node if node.op_type == "Conv")
    model = quantization.as_int8(graph, images[:4], Quantization(skip=(first,)))
    assert len(weights(model)) == 19
    with pytest.raises(ConfigError, match="No convolutions are called conv_x; there are: conv_0"):
        quantization.as_int8(graph, images[:4], Quantization(skip=("conv_x",)))


def test_a_fixed_batch_that_does_not_divide_the_pictures(encoder, images):
    graph = encoder_graph(encoder, ("pooled",), batch=8, size=(64, 64))
    assert weights(quantization.as_int8(graph, images, Quantization()))


@pytest.mark.parametrize(
    ("machine", "text", "wide"),
    [
        ("x86_64", "flags : avx2 avx512f avx512_vnni", True),
        ("AMD64", "flags : avx2 avx_vnni", True),
        ("x86_64", "flags : avx2 avx512f", False),
        ("x86_64", None, False),
        ("aarch64", None, True),
    ],
)
def test_which_processors_saturate(machine, text, wide, monkeypatch):
    def read(self, **_):
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(quantization.platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", read)
    assert quantization.has_wide_products() is wide
    assert Quantization().narrow is not wide
    assert Quantization(reduce_range=True).narrow


@pytest.mark.parametrize(
    ("settings", "words"), [({"method": "kl"}, "minmax, percentile, entropy"), ({"percentile": 10}, "more than 50")]
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(ConfigError, match=words):
        Quantization(**settings)


def test_nothing_is_printed(encoder, digits, tmp_path, capfd):
    export(encoder, tmp_path / "m.onnx", precision="int8", calibration=digits / "test", pictures=digits / "test")
    assert capfd.readouterr() == ("", "")
