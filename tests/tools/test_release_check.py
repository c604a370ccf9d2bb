import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from sslhsic_transfer import EncoderConfig
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.hub.zoo import ZooModel
from tools import release_check
from tools.release_check import (
    OFFLINE,
    ReleaseError,
    check_sdist,
    check_size,
    check_wheel,
    first_example,
)


@pytest.fixture
def named(monkeypatch, own_model):
    """One short name, for the test's model."""
    sha256 = sha256_of_file(own_model / "model.safetensors")
    model = ZooModel("tiny-r18", EncoderConfig(architecture="resnet18"), "mit", "digits", "demo", sha256, "v1")
    monkeypatch.setattr(release_check, "ZOO", {model.name: model})
    return model


@pytest.fixture
def wheel(named, own_model, tmp_path):
    """A wheel with what must be in it, but for what a test leaves out or writes otherwise."""

    def make(*, without=(), **changed):
        folder = "sslhsic_transfer/model_cards/tiny-r18"
        files = {f"{folder}/{name}": b"{}" for name in release_check.BESIDE_WEIGHTS}
        files[f"{folder}/model.safetensors"] = (own_model / "model.safetensors").read_bytes()
        files |= {"x.dist-info/licenses/LICENSE": b"", "sslhsic_transfer/sample/sign_digits/NOTICE": b""}
        path = tmp_path / "x-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                if not name.endswith(tuple(without)):
                    archive.writestr(name, changed.get(name.rpartition("/")[2].partition(".")[0], content))
        return path

    return make


def test_a_whole_wheel_passes(wheel):
    assert "weights of tiny-r18 with their pinned hashes" in check_wheel(wheel(without=["nothing"]))


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE", "results.json", "README.md", "model.safetensors"])
def test_what_is_missing_is_named(wheel, name):
    with pytest.raises(ReleaseError, match=name):
        check_wheel(wheel(without=[name]))


def test_other_weights_than_the_pinned_ones_are_found(wheel, named):
    with pytest.raises(ReleaseError, match=named.sha256):
        check_wheel(wheel(without=["nothing"], model=b"other weights"))


def test_an_sdist_without_what_a_build_needs_is_found(named, tmp_path):
    with tarfile.open(tmp_path / "x-1.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x-1/pyproject.toml"), io.BytesIO())
    with pytest.raises(ReleaseError, match=r"LICENSE.*model_cards/tiny-r18/model\.safetensors.*pretrain/loop\.py"):
        check_sdist(tmp_path / "x-1.tar.gz")


def test_a_file_too_large_for_the_index_is_found(tmp_path):
    path = tmp_path / "x.whl"
    with path.open("wb") as file:
        file.truncate(release_check.LARGEST + 1)
    with pytest.raises(ReleaseError, match=r"100\.0 MB; the package index takes 100 MB"):
        check_size(path)


def test_what_is_run_offline_reaches_no_network():
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/')"
    done = subprocess.run([sys.executable, "-c", OFFLINE + code], capture_output=True, text=True, check=False)
    assert "the network is off" in done.stderr


def test_the_first_example_of_a_readme():
    assert first_example("text\n```sh\nls\n```\n```python\na = 1\n```\n```python\nb\n```\n") == "a = 1\n"
    with pytest.raises(ReleaseError, match="no Python example"):
        first_example("nothing")
