"""A file is compared with its encoder, and with no other."""

import pytest
import torch

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.onnx import export, verify
from sslhsic_transfer.adapters.onnx.verification import Bounds, Check
from sslhsic_transfer.errors import ModelNotFoundError, VerificationError


def test_all_that_is_compared(files, encoder, pictures):
    report = verify(files / "model.onnx", encoder, pictures)
    names = [check.name for check in report.checks]
    assert names[:4] == [
        "relative error at 1 × 3 × 65 × 97",
        "relative error at 7 × 3 × 64 × 80",
        "relative error at 2 × 3 × 131 × 96",
        "relative error at 3 × 3 × 33 × 224",
    ]
    assert [name for name in names if name.startswith("mean cosine")] == [
        f"mean cosine of {output}" for output in ("pooled", "c2", "c3", "c4", "c5")
    ]
    assert names[-1] == "20-NN agreement"
    assert report.value("20-NN") == 1
    assert report.passed
    assert str(report).startswith("model.onnx (fp32)\nok     relative error")
    with pytest.raises(KeyError):
        report.value("nothing")


def test_the_bundled_pictures_serve_by_default(files, encoder):
    report = verify(files / "fixed.onnx", encoder)
    assert [check.name for check in report.checks if "relative" in check.name] == ["relative error at 4 × 3 × 64 × 64"]
    assert str(report.checks[-1]).startswith("ok     20-NN agreement on 100 pictures: ")


def test_pictures_without_classes_have_no_neighbors_to_compare(files, encoder, pictures):
    report = verify(files / "model.onnx", encoder, pictures / "0")
    assert not any("NN" in check.name for check in report.checks)


def test_uint8_input_is_compared_on_pictures_alone(files, encoder, pictures):
    report = verify(files / "pictures.onnx", encoder, pictures)
    assert not any("relative" in check.name for check in report.checks)
    assert report.value("smallest cosine") >= 0.9999


def test_another_encoders_file(files, encoder, pictures, tmp_path):
    torch.manual_seed(5)
    other = create_encoder("resnet18", preprocessing=Preprocessing.for_size(64))
    with pytest.raises(VerificationError, match=r"FAILED mean cosine"):
        verify(files / "model.onnx", other, pictures)  # never saved: found out by its features
    export(other, tmp_path / "other.onnx", pictures=pictures)
    with pytest.raises(VerificationError, match=r"exported from another encoder.\nweights: [0-9a-f]{64} in the file"):
        verify(tmp_path / "other.onnx", encoder)
    wide = create_encoder("resnet34", preprocessing=Preprocessing.for_size(96))
    with pytest.raises(VerificationError, match=r"network: .*resnet18.*\npreprocessing: "):
        verify(files / "model.onnx", wide)
    with pytest.raises(ModelNotFoundError):
        verify(tmp_path / "none.onnx", encoder)


@pytest.mark.parametrize(
    ("check", "passed", "text"),
    [
        (Check("a", 0.5, 0.4), True, "ok     a: 0.5 (at least 0.4)"),
        (Check("a", 0.5, 0.6), False, "FAILED a: 0.5 (at least 0.6)"),
        (Check("a", 0.5, 0.6, at_most=True), True, "ok     a: 0.5 (at most 0.6)"),
        (Check("a", float("nan"), 0.6, at_most=True), False, "FAILED a: nan (at most 0.6)"),
        (Check("a", float("nan"), 0.6), False, "FAILED a: nan (at least 0.6)"),
        (Check("a", 0.5, None), True, "       a: 0.5"),
    ],
)
def test_checks(check, passed, text):
    assert check.passed is passed
    assert str(check) == text


def test_int8_below_its_bound_is_no_file(encoder, digits, tmp_path, monkeypatch):
    strict = {"int8": Bounds(relative=None, cosine=0.9999999, smallest_cosine=None, agreement=0.9)}
    monkeypatch.setattr("sslhsic_transfer.adapters.onnx.verification.BOUNDS", strict)
    with pytest.raises(VerificationError, match="FAILED mean cosine of pooled"):
        export(encoder, tmp_path / "m.onnx", precision="int8", calibration=digits / "test", pictures=digits / "test")
    assert not list(tmp_path.iterdir())


def test_an_encoder_in_half_precision_is_compared_in_float32(pictures, tmp_path):
    torch.manual_seed(2)
    encoder = create_encoder("resnet18", preprocessing=Preprocessing.for_size(64)).bfloat16()
    report = export(encoder, tmp_path / "model.onnx", pictures=pictures).verification
    assert report.value("relative error") <= 1e-4
    assert encoder.conv1.weight.dtype == torch.bfloat16, "stays as it was"
