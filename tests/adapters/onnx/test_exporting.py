"""Files are the encoder at every shape, the same each time, checked before they are there, and tell what they are."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from sslhsic_transfer import Encoder, Preprocessing
from sslhsic_transfer.adapters.onnx import OnnxEncoder, export, exporting, saving
from sslhsic_transfer.adapters.onnx.info import OnnxInfo
from sslhsic_transfer.errors import ConfigError, ExportError, OutputExistsError, VerificationError
from tests.adapters.onnx.conftest import lively

NETWORKS = [
    ("resnet18", {}),
    ("resnet18", {"stem": "small"}),
    ("resnet18", {"padding": "same"}),
    ("resnet18", {"width": 2}),
    ("resnet50", {"padding": "same"}),
]


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}


@pytest.mark.parametrize(("architecture", "options"), NETWORKS, ids=str)
def test_every_network_gives_the_same_at_shapes_it_was_not_traced_at(architecture, options, tmp_path, pictures):
    encoder = lively(architecture, **options)
    report = export(encoder, tmp_path / "model.onnx", outputs=("c5", "pooled"), pictures=pictures)
    errors = [check.value for check in report.verification.checks if check.name.startswith("relative")]
    assert len(errors) == 4
    assert max(errors) < 1e-5  # the goal; the bound is 1e-4
    assert report.path.stat().st_size == report.size


def test_outputs_come_in_the_order_asked_for_and_no_stage_is_computed_in_vain(encoder, tmp_path, pictures):
    export(encoder, tmp_path / "model.onnx", outputs=("c3", "c2"), pictures=pictures)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [output.name for output in graph.output] == ["c3", "c2"]
    assert not any("layer3" in tensor.name for tensor in graph.initializer)


def test_normalization_is_folded_and_nothing_tells_of_this_machine(files):
    model = onnx.load(files / "model.onnx")
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "MaxPool", "Add", "ReduceMean"}
    assert len([node for node in model.graph.node if node.op_type == "Conv"]) == 20
    del model.graph.initializer[:]
    text = model.SerializeToString()
    for setting in (b'"padding": "torch"', b'"style": "torchvision"'):
        text = text.replace(setting, b"")
    for trace in (b"/tmp", b"site-packages", b".py", b"torch", b"aten"):
        assert trace not in text


@pytest.mark.parametrize(
    ("name", "options"),
    [("pictures", {"input": "pictures"}), ("fp16", {"precision": "fp16"}), ("int8", {"precision": "int8"})],
)
def test_the_same_encoder_gives_the_same_bytes(files, encoder, name, options, tmp_path, digits, pictures):
    if name == "int8":
        options = options | {"calibration": digits / "train"}
    again = export(encoder, tmp_path / "again.onnx", pictures=pictures, **options)
    assert again.path.read_bytes() == (files / f"{name}.onnx").read_bytes()


def test_metadata_tell_what_the_file_is(encoder, files):
    info = OnnxInfo.of(metadata(files / "int8.onnx"), "int8.onnx")
    assert info.weights_sha256 == encoder.weights_sha256
    assert (info.encoder, info.preprocessing) == (encoder.config, encoder.preprocessing)
    assert (info.precision, info.outputs, info.opset) == ("int8", ("pooled",), 20)
    assert "per channel" in info.quantization
    assert "72 pictures" in info.quantization
    entries = metadata(files / "model.onnx")
    assert all(key.startswith("sslhsic.") for key in entries)
    assert json.loads(entries["sslhsic.preprocessing"])["crop"] == 64
    assert json.loads(entries["sslhsic.outputs"]) == ["pooled", "c2", "c3", "c4", "c5"]


def test_the_encoder_stays_as_it_is_and_is_known_by_the_hash_that_it_would_be_saved_with(tmp_path, pictures):
    encoder = lively().train()
    encoder.layer1.eval()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    export(encoder, tmp_path / "model.onnx", pictures=pictures)
    assert encoder.training
    assert not encoder.layer1.training
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    saved = json.loads((encoder.save_pretrained(tmp_path / "model") / "config.json").read_text())
    assert metadata(tmp_path / "model.onnx")["sslhsic.weights_sha256"] == saved["fingerprint"]["sha256"]


def test_fixed_sizes_are_fixed(files):
    (given,) = onnx.load(files / "fixed.onnx").graph.input
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim] == [4, 3, 64, 64]


@pytest.mark.parametrize("form", ["normalized", "resized", "pictures"])
def test_a_fixed_square_is_what_pictures_become(form, encoder, tmp_path, pictures, digits):
    report = export(encoder, tmp_path / "model.onnx", size=96, input=form, pictures=pictures)
    assert report.verification.value("20-NN agreement") == 1
    file = OnnxEncoder.from_pretrained(tmp_path / "model.onnx")
    assert file.preprocessing == encoder.preprocessing.at_size(96)
    paths = sorted((digits / "test").rglob("*.jpg"))[:3]
    larger = Encoder(encoder.config, encoder.preprocessing.at_size(96))
    larger.load_state_dict(encoder.state_dict())
    np.testing.assert_allclose(file.embed(paths), larger.embed(paths), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("form", ["normalized", "pictures"])
def test_pictures_that_are_cut_out_before_they_are_resized(form, encoder, tmp_path, pictures, digits):
    """The preprocessing of converted JAX checkpoints, beside the network and in the graph."""
    preprocessing = Preprocessing(resize=73, crop=64, antialias=False, style="byol-jax")
    jax = Encoder(encoder.config, preprocessing).eval()
    jax.load_state_dict(encoder.state_dict())
    export(jax, tmp_path / "model.onnx", input=form, pictures=pictures)
    file = OnnxEncoder.from_pretrained(tmp_path / "model.onnx")
    assert file.preprocessing == preprocessing
    paths = sorted((digits / "test").rglob("*.jpg"))[:3]
    np.testing.assert_allclose(file.embed(paths), jax.embed(paths), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("form", ["normalized", "resized"])
def test_other_fixed_sizes_are_compared_as_well(form, encoder, tmp_path, pictures):
    report = export(
        encoder, tmp_path / "model.onnx", size=(64, 128), input=form, outputs=("pooled", "c4"), pictures=pictures
    )
    assert report.verification.value("smallest cosine of c4") > 0.9999
    assert report.verification.value("20-NN agreement") == 1


def test_weights_beyond_two_gigabytes_lie_beside_the_file(encoder, tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(saving, "LARGEST_SINGLE", 1000)
    report = export(encoder, tmp_path / "model.onnx", pictures=pictures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert (tmp_path / "model.onnx").stat().st_size < 100_000 < report.size
    images = np.random.default_rng(0).normal(size=(3, 3, 96, 64)).astype(np.float32)
    expected = encoder(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(OnnxEncoder.from_pretrained(report.path)(images), expected, rtol=1e-4, atol=1e-5)


def test_a_file_that_fails_its_check_is_not_left(encoder, tmp_path, pictures, monkeypatch):
    real = exporting.encoder_graph

    def one_weight_changed(*arguments, **options):
        model = real(*arguments, **options)
        tensor = next(t for t in model.graph.initializer if list(t.dims) == [64, 64, 3, 3])
        changed = onnx.numpy_helper.to_array(tensor).copy()
        changed[0] *= 1.5
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
        return model

    monkeypatch.setattr(exporting, "encoder_graph", one_weight_changed)
    with pytest.raises(VerificationError, match=r"FAILED relative error at 1 × 3 × 65 × 97: 0\.\d+ \(at most 0.0001\)"):
        export(encoder, tmp_path / "model.onnx", pictures=pictures)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_unless_it_may_be_replaced(encoder, tmp_path, pictures):
    (tmp_path / "model.onnx").write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        export(encoder, tmp_path / "model.onnx", pictures=pictures)
    assert (tmp_path / "model.onnx").read_bytes() == b"precious"
    export(encoder, tmp_path / "model.onnx", pictures=pictures, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outputs": ()}, "expected some of pooled, c2"),
        ({"outputs": ("c6",)}, "c6"),
        ({"outputs": ("c2", "c2")}, "each once"),
        ({"precision": "int4"}, "int4"),
        ({"input": "picture"}, "expected normalized, resized or pictures"),
        ({"precision": "int8"}, "pictures to calibrate with"),
        ({"precision": "int8", "calibration": []}, "pictures to calibrate with"),
        ({"calibration": "somewhere"}, "Calibration is for int8"),
        ({"opset": 9}, "from 18 to 23"),
        ({"batch": 0}, "fixed batch of 0"),
        ({"size": 16}, "at least 32"),
        ({"input": "pictures", "size": (96, 64)}, "makes 64 × 64"),
        ({"precision": "int8", "size": (96, 64), "calibration": [np.zeros((80, 80, 3), np.uint8)]}, "does not fit"),
    ],
    ids=str,
)
def test_options_that_cannot_be(encoder, options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        export(encoder, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_the_files_name_says_what_it_is(encoder, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export(encoder, tmp_path / "model.pt")


def test_what_torch_cannot_export_names_the_reason(encoder, tmp_path, monkeypatch):
    class Odd(torch.nn.Module):
        def forward(self, images):
            return torch.linalg.eigvals(images[:, 0, :32, :32]).real

    monkeypatch.setattr("sslhsic_transfer.adapters.onnx.graph._Outputs", lambda *_: Odd())
    with pytest.raises(ExportError, match="linalg_eig"):
        export(encoder, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_its_install_command(pretrained_folder, tmp_path):
    code = (
        "import sys; sys.modules['onnxscript'] = None\n"
        "from sslhsic_transfer import from_pretrained\n"
        "from sslhsic_transfer.adapters.onnx import export\n"
        f"export(from_pretrained({str(pretrained_folder)!r}), {str(tmp_path / 'model.onnx')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "pip install 'sslhsic-transfer[onnx]'" in done.stderr
