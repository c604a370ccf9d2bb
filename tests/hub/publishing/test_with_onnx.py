"""Exported files travel with the model: made, measured, listed, uploaded, loaded by name."""

import re

import numpy as np
import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.adapters.onnx import OnnxEncoder, timing
from sslhsic_transfer.adapters.onnx.folder import add_onnx
from sslhsic_transfer.errors import ConfigError, PublishError
from sslhsic_transfer.hub.config_file import read_config
from sslhsic_transfer.hub.publishing.examples import lay_pictures, python_examples
from sslhsic_transfer.hub.publishing.upload import publish
from sslhsic_transfer.results import load_results
from sslhsic_transfer.sample import sign_digits

REPO = "tester/exported"


@pytest.fixture
def quick(monkeypatch):
    """Measure speed by single calls: the values do not matter here."""
    monkeypatch.setattr(timing, "_SECONDS", 0.0)
    monkeypatch.setattr(timing.pictures_per_second, "__defaults__", (1,))


@pytest.mark.usefixtures("quick")
def test_publish_with_files_then_load_one_by_name(sslhsic_here, hub, publishable, digits, tmp_path, monkeypatch):
    options = ["--with-onnx", "fp32, int8", "--calibration", digits / "train"]
    done = sslhsic_here("publish", publishable, "--repo", REPO, *options)
    assert "20-NN agreement on 100 pictures" in done.stdout
    assert {"onnx/model.onnx", "onnx/model_int8.onnx"} <= hub.files(REPO).keys()
    pictures = sorted(sign_digits().test.rglob("*.jpg"))[::50]
    expected = from_pretrained(REPO).embed(pictures).numpy()
    for variant, rtol in (("fp32", 1e-3), ("int8", 0.1)):
        found = OnnxEncoder.from_pretrained(REPO, variant=variant).embed(pictures)
        assert np.abs(found - expected).max() <= rtol * np.abs(expected).max()

    card = hub.files(REPO)["README.md"].decode()
    assert "### Files" in card
    (header,) = [line for line in card.splitlines() if line.startswith("| data, split | task | onnx/model.onnx")]
    assert header == "| data, split | task | onnx/model.onnx | onnx/model_int8.onnx | torch | n | seeds |"
    assert re.search(
        r"\| sign_digits, test \| onnx, mean cosine of pooled \| 1\.00000 \| (0\.99|1\.00)\d{3} \| – \| 100 \|", card
    )
    assert re.search(
        r"\| noise, 64 × 64 \| onnx, pictures a second, batch 32 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| 32 \|", card
    )
    assert "onnx" not in str(card[: card.index("<!--")])  # the Hub's metadata hold what the model does, not its files

    monkeypatch.chdir(tmp_path)
    lay_pictures(tmp_path)
    names: dict[str, object] = {}
    exec(python_examples(card)[-1], names)
    assert names["embeddings"].shape == (2, 512)
    assert names["encoder"].info.precision == "int8"


@pytest.mark.usefixtures("quick")
def test_a_dry_run_writes_no_files(sslhsic_here, publishable):
    before = {path: path.read_bytes() for path in publishable.rglob("*") if path.is_file()}
    options = ("--license", "apache-2.0", "--trained-by", "tests", "--with-onnx", "fp32", "--dry-run")
    done = sslhsic_here("publish", publishable, "--repo", REPO, *options, check=False)
    assert done.returncode == 2
    assert "it writes ONNX files, --dry-run writes nothing" in done.stderr
    assert {path: path.read_bytes() for path in publishable.rglob("*") if path.is_file()} == before


def test_a_folder_lists_what_was_finished_and_records_what_was_measured(publishable, digits):
    with pytest.raises(ConfigError, match="pictures to calibrate with"):
        add_onnx(publishable, ("fp32", "int8"))
    listed = read_config(publishable).onnx
    assert list(listed) == ["fp32"]
    assert listed["fp32"].size == (publishable / "onnx/model.onnx").stat().st_size
    add_onnx(publishable, ("fp16",), pictures=digits / "test")
    assert list(read_config(publishable).onnx) == ["fp32", "fp16"]
    records = [result for result in load_results(publishable / "results.json") if result.task == "onnx"]
    assert {result.weights_sha256 for result in records} == {read_config(publishable).fingerprint.sha256}
    assert {(result.model, result.metric) for result in records} >= {
        ("torch", "pictures a second, batch 1"),
        ("onnx/model_fp16.onnx", "pictures a second, batch 32"),
        ("onnx/model_fp16.onnx", "20-NN agreement"),
    }


@pytest.mark.usefixtures("quick")
def test_a_file_that_was_changed_since_is_not_published(hub, publishable, digits):
    add_onnx(publishable, ("fp32",), pictures=digits / "test")
    with (publishable / "onnx/model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PublishError, match=r"ONNX files: onnx/model.onnx is not there, or not the file"):
        publish(publishable, REPO)
    (publishable / "onnx/model.onnx").unlink()
    with pytest.raises(PublishError, match="ONNX files"):
        publish(publishable, REPO)
    assert not hub.asked(method="POST")
