"""Files of ConvNeXts and Vision Transformers: any size, each precision, run without torch."""

import numpy as np
import pytest
import torch

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.depth import DepthModel
from sslhsic_transfer.adapters.onnx import DenseNetwork, OnnxDenseModel, OnnxEncoder, export, export_dense

FAMILIES = ["convnext_atto", "vit_tiny_patch16", "vit_small_patch16_dinov3", "vit_small_patch14_reg4_dinov2"]


def create(name):
    torch.manual_seed(0)
    return create_encoder(name, preprocessing=Preprocessing.for_size(64)).eval()


@pytest.mark.parametrize(
    "name", [*FAMILIES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES[2:])]
)
def test_a_file_gives_embeddings_and_maps_at_any_size(name, tmp_path):
    encoder, outputs = create(name), ("pooled", "c2", "c3", "c4", "c5")
    report = export(encoder, tmp_path / "model.onnx", outputs=outputs)
    assert report.verification.passed
    runtime = OnnxEncoder.from_pretrained(tmp_path / "model.onnx")
    for size in ((64, 64), (75, 140)):
        images = torch.randn(2, 3, *size)
        found = runtime.run(images.numpy(), outputs)
        with torch.no_grad():
            expected = {"pooled": encoder(images), **encoder.feature_maps(images)}
        for output in outputs:
            np.testing.assert_allclose(found[output], expected[output].numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("convnext_atto", {"precision": "fp16"}),
        ("vit_tiny_patch16", {"precision": "fp16", "input": "pictures"}),
        ("vit_tiny_patch16", {"size": 64, "batch": 1}),
        ("vit_small_patch16_dinov3", {"precision": "fp16"}),
    ],
)
def test_every_form_of_file_passes_its_check(name, options, tmp_path):
    assert export(create(name), tmp_path / "model.onnx", **options).verification.passed


@pytest.mark.parametrize("name", [FAMILIES[0], pytest.param(FAMILIES[2], marks=pytest.mark.slow)])
def test_int8(name, digits, tmp_path):
    encoder, path = create(name), tmp_path / "model.onnx"
    assert export(encoder, path, precision="int8", calibration=digits / "train").verification.passed
    assert path.stat().st_size < 1.1 * sum(parameter.numel() for parameter in encoder.parameters())


@pytest.mark.parametrize("name", FAMILIES[:2])
def test_depth_over_them(name, tmp_path):
    encoder = create(name)
    network = DepthModel(encoder, head="dpt").eval()
    dense = DenseNetwork(network, "depth", "torchvision", "dpt", name, encoder.preprocessing)
    export_dense(dense, tmp_path / "model.onnx")
    images = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        expected = network(images).numpy()
    found = OnnxDenseModel.from_file(tmp_path / "model.onnx").run(images.numpy())
    np.testing.assert_allclose(found["depth"], expected, rtol=1e-3, atol=1e-4)
