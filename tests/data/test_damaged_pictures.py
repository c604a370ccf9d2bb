"""Pictures of every format with bytes changed: RGB of a size within the bound, or an error of ours."""

from pathlib import Path

import pytest

from sslhsic_transfer.data.images import load_image
from tests.fuzzing import FORMS, Form, read_all
from tests.sample_pictures import samples

PIXELS = 1_000_000
# MiB: 20 bytes for every pixel that is allowed, what the libraries take for themselves, and what malloc keeps.
MOST = 120
SAMPLES = samples()


def _read(path: Path) -> None:
    picture = load_image(path)
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= PIXELS
    picture.tobytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_whole_pictures_are_read(name, tmp_path):
    (tmp_path / "a").write_bytes(SAMPLES[name])
    _read(tmp_path / "a")


@FORMS
def test_damaged_pictures(form: Form, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", str(PIXELS))
    found = read_all(_read, form.inputs(list(SAMPLES.values()), 40), tmp_path / "a", most=MOST)
    assert found.keys() == {"ImageError", "read"}, "no picture is to end the work"
    assert found["ImageError"] > 100, "they are damaged"
    assert found["read"] > 100, "not beyond recognition"
