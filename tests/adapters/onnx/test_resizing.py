"""Resizing in the graph against torchvision's on bytes: the same pixels but for rounding, at every interpolation."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from sslhsic_transfer import Preprocessing
from sslhsic_transfer.adapters.onnx.preprocessing import prepend
from sslhsic_transfer.sample import sign_digits


@pytest.fixture
def pictures():
    """Give real pictures, larger and smaller than the target, and one of hard edges: bicubic weights overshoot."""
    real = np.asarray(Image.open(sorted(sign_digits().test.rglob("*.jpg"))[40]).convert("RGB"))
    edges = np.repeat((np.random.default_rng(0).integers(0, 2, (50, 65, 1)) * 255).astype(np.uint8), 3, axis=2)
    large = np.asarray(Image.fromarray(real).resize((301, 200), Image.Resampling.BICUBIC))
    return {"real": real, "small": real[10:40, 20:60], "large": large, "edges": edges}


def resizing(preprocessing):
    """Make a graph of preprocessing alone."""
    shape = ["batch", 3, None, None]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("images", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["same"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    prepend(model, preprocessing, "pictures")
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [48, 64])
def test_pixels_are_those_of_torchvision(interpolation, antialias, size, pictures):
    preprocessing = Preprocessing.for_size(size).model_copy(
        update={"interpolation": interpolation, "antialias": antialias, "mean": (0.0,) * 3, "std": (1 / 255,) * 3}
    )
    transform, session = preprocessing.transform(), resizing(preprocessing)
    for name, picture in pictures.items():
        expected = transform(picture).numpy()
        found = session.run(None, {"pictures": picture[None]})[0][0]
        off = np.abs(found - expected).round()
        assert off.max() <= 2, name
        assert (off > 0).mean() < 0.03, name


@pytest.mark.parametrize("size", [48, 64])
def test_pixels_cut_out_before_they_are_resized_are_those_of_torch(size, pictures):
    preprocessing = Preprocessing(
        resize=size * 8 // 7, crop=size, antialias=False, style="byol-jax", mean=(0.0,) * 3, std=(1 / 255,) * 3
    )
    transform, session = preprocessing.transform(), resizing(preprocessing)
    for name, picture in (pictures | {"odd": pictures["large"][:77, :101], "dot": pictures["real"][:1, :1]}).items():
        off = np.abs(session.run(None, {"pictures": picture[None]})[0][0] - transform(picture).numpy()).round()
        assert off.max() <= 1, name
        assert (off > 0).mean() < 0.001, name
