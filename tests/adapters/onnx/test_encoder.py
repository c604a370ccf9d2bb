"""`OnnxEncoder` answers as `Encoder` does, refuses what cannot be run, and needs no torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import ImageError, InputError
from sslhsic_transfer.sample import sign_digits

PICTURES = sorted((sign_digits().root / "test").rglob("*.jpg"))[::30]


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def normalized(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def runtime(files):
    return OnnxEncoder.from_pretrained(files / "model.onnx")


def test_it_tells_what_the_encoder_tells(runtime, encoder):
    assert runtime.feature_dim == encoder.feature_dim
    assert runtime.specs == encoder.specs
    assert runtime.preprocessing == encoder.preprocessing
    assert runtime.info.precision == "fp32"
    assert runtime.providers.used[-1] == "cpu"


def test_maps_and_embeddings_are_the_encoders(runtime, encoder):
    images = normalized(2, 3, 70, 101)
    with torch.no_grad():
        expected = encoder.feature_maps(torch.from_numpy(images))
        pooled = encoder(torch.from_numpy(images))
    found = runtime.feature_maps(images, ("c5", "c3"))
    assert list(found) == ["c5", "c3"]
    for stage, value in runtime.feature_maps(images).items():
        np.testing.assert_allclose(value, expected[stage].numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(runtime(images), pooled.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["model", "resized", "pictures", "fp16", "fixed"])
def test_pictures_in_every_form_give_the_encoders_embeddings(files, encoder, name):
    images = [load_image(path) for path in PICTURES[:4]]
    forms = [PICTURES[4], str(PICTURES[5]), *images, np.asarray(images[0]), np.asarray(images[1].convert("L"))]
    expected = encoder.embed(forms).numpy()
    found = OnnxEncoder.from_pretrained(files / f"{name}.onnx").embed(forms, batch_size=3)
    assert found.dtype == np.float32
    assert cosines(found, expected).min() >= 0.9999


def test_int8_is_near(files, encoder):
    found = OnnxEncoder.from_pretrained(files / "int8.onnx").embed(PICTURES)
    assert cosines(found, encoder.embed(PICTURES).numpy()).mean() >= 0.99


def test_pictures_of_different_sizes_keep_their_order(files, encoder):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40 + 7 * (n % 3), 64, 3), dtype=np.uint8) for n in range(7)]
    found = OnnxEncoder.from_pretrained(files / "pictures.onnx").embed(pictures)
    assert cosines(found, encoder.embed(pictures).numpy()).min() >= 0.9999


def test_none_and_one(runtime):
    assert runtime.embed([]).shape == (0, 512)
    assert runtime.embed(PICTURES[0]).shape == (1, 512)


def test_a_fixed_batch_is_filled_up(files, runtime):
    fixed = OnnxEncoder.from_pretrained(files / "fixed.onnx")
    images = normalized(3, 3, 64, 64)
    np.testing.assert_allclose(fixed(images), runtime(images), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="fixed to batches of 4"):
        fixed(normalized(5, 3, 64, 64))
    with pytest.raises(InputError, match="fixed to 64 × 64"):
        fixed(normalized(4, 3, 64, 96))


def test_on_the_device_nothing_is_copied(runtime):
    import onnxruntime

    images = normalized(2, 3, 64, 64)
    given = onnxruntime.OrtValue.ortvalue_from_numpy(images)
    found = runtime.run_on_device(given, ("c5", "pooled"))
    assert list(found) == ["c5", "pooled"]
    assert found["pooled"].device_name() == "cpu"
    np.testing.assert_array_equal(found["pooled"].numpy(), runtime(images))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(1, 3, 64, 64), "Got Tensor; expected an array"),
        (normalized(3, 64, 64), r"Got shape \(3, 64, 64\)"),
        (normalized(1, 64, 64, 3), r"expected \(B, 3, H, W\) float32"),
        (normalized(0, 3, 64, 64), r"Got shape \(0, 3"),
        (normalized(1, 3, 64, 64).astype(np.float64), "Got float64"),
        (np.zeros((1, 3, 64, 64), np.uint8), "Got uint8"),
        (normalized(1, 3, 16, 64), "at least 32 × 32"),
        (np.full((1, 3, 64, 64), np.nan, np.float32), "12288 NaN or infinite"),
        (np.full((1, 3, 64, 64), 1e38, np.float32), "overflow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_cannot_be_run(runtime, images, words):
    with pytest.raises(InputError, match=words):
        runtime(images)


def test_pictures_that_cannot_be_used(runtime, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"Picture 1: Cannot read .*text.jpg"):
        runtime.embed([PICTURES[0], tmp_path / "text.jpg"])
    with pytest.raises(ImageError, match="Picture 0: Got a picture array"):
        runtime.embed([np.zeros((3, 64, 64), np.float32)])
    with pytest.raises(InputError, match="batch_size=0"):
        runtime.embed(PICTURES, batch_size=0)


def test_outputs_that_the_file_does_not_give(files):
    file = OnnxEncoder.from_pretrained(files / "fp16.onnx")
    assert not file.specs
    with pytest.raises(InputError, match=r"gives: pooled. For others export it again"):
        file.feature_maps(normalized(1, 3, 64, 64), ("c4",))


def test_neither_torch_nor_torchvision_is_imported(files):
    code = f"""
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None  # any import of them fails
from sslhsic_transfer.adapters.onnx import OnnxEncoder
for name in ("model", "pictures", "int8"):
    encoder = OnnxEncoder.from_pretrained({str(files)!r} + f"/{{name}}.onnx")
    print(encoder.embed([{str(PICTURES[0])!r}]).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["(1, 512)"] * 3, done.stderr
