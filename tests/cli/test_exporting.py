"""`sslhsic export` and `sslhsic verify`, as a user calls them."""

import onnx
import pytest


@pytest.fixture
def model(own_model):
    return f"{own_model}/"


def test_export_then_verify(sslhsic_here, model, digits, tmp_path):
    done = sslhsic_here("export", model, "--output", "m.onnx", "--outputs", "pooled, c4", "--pictures", digits / "test")
    assert "ok     relative error at 7 × 3 × 64 × 80" in done.stdout
    assert "Written: 44.7 MB, SHA-256" in done.stdout
    assert [output.name for output in onnx.load(tmp_path / "m.onnx").graph.output] == ["pooled", "c4"]
    assert "ok     mean cosine of c4" in sslhsic_here("verify", "m.onnx", model, "--pictures", digits / "test").stdout


def test_int8_for_servers(sslhsic_here, model, digits, tmp_path):
    options = ["--precision", "int8", "--calibration", digits / "train", "--method", "percentile", "--reduce-range"]
    sslhsic_here("export", model, "--output", "m.onnx", "--input", "pictures", *options, "--pictures", digits / "test")
    entries = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert entries["sslhsic.input"] == "pictures"
    assert "percentile 99.999 over 72 pictures, weights of 7 bits" in entries["sslhsic.quantization"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "int8"], "--calibration DIR"),
        (["--outputs", "c9"], "Got outputs c9; expected some of pooled"),
        (["--calibration", "x"], "Calibration is for int8"),
    ],
    ids=str,
)
def test_mistakes_are_one_message(sslhsic_here, model, options, words):
    done = sslhsic_here("export", model, "--output", "m.onnx", *options, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr


def test_a_file_that_is_not_there(sslhsic_here, model):
    done = sslhsic_here("verify", "none.onnx", model, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "error: There is no file none.onnx. Make one: sslhsic export MODEL --output none.onnx",
    )
