"""Exported files by name: in a model folder, on a Hub, behind a short name."""

import shutil
from dataclasses import replace

import pytest

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime import locate
from sslhsic_transfer.adapters.onnx.runtime.locate import variant_path
from sslhsic_transfer.errors import ConfigError, FingerprintError, HubError, ModelNotFoundError
from sslhsic_transfer.hub import zoo
from sslhsic_transfer.hub.config_file import OnnxFile, read_config, write_config
from tests.hub_server.fixture import hub, waits

__all__ = ["hub", "waits"]

REPO = "tester/tiny"


@pytest.fixture
def model(pretrained_folder, files, tmp_path):
    """A model folder with two exported files that its config.json lists."""
    copy = shutil.copytree(pretrained_folder, tmp_path / "model")
    (copy / "onnx").mkdir()
    listed = {}
    for variant, source in (("fp32", "model"), ("int8", "int8")):
        path = copy / variant_path(variant)
        shutil.copy(files / f"{source}.onnx", path)
        listed[variant] = OnnxFile(file=variant_path(variant), sha256=sha256_of_file(path), size=path.stat().st_size)
    config = read_config(copy)
    write_config(copy / "config.json", config.model_copy(update={"onnx": listed}))
    return copy


def contents(model):
    names = ("config.json", "model.safetensors", "onnx/model.onnx", "onnx/model_int8.onnx")
    return {name: (model / name).read_bytes() for name in names}


def test_variants_lie_where_transformers_js_and_optimum_look():
    assert [variant_path(name) for name in ("fp32", "fp16", "int8")] == [
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "onnx/model_int8.onnx",
    ]
    with pytest.raises(ConfigError, match="Unknown variant 'q4'"):
        variant_path("q4")


class TestInAFolder:
    def test_by_variant(self, model):
        assert OnnxEncoder.from_pretrained(model).info.precision == "fp32"
        assert OnnxEncoder.from_pretrained(f"{model}/", variant="int8").info.precision == "int8"

    def test_what_is_not_there_names_the_command(self, model):
        with pytest.raises(ModelNotFoundError, match=r"sslhsic export .* --precision fp16"):
            OnnxEncoder.from_pretrained(model, variant="fp16")

    def test_a_file_that_was_exchanged(self, model):
        shutil.copy(model / "onnx/model_int8.onnx", model / "onnx/model.onnx")
        with pytest.raises(FingerprintError, match="changed or exchanged"):
            OnnxEncoder.from_pretrained(model)

    def test_a_file_that_is_not_listed_must_be_of_the_same_weights(self, model, model_folder):
        config = read_config(model)
        write_config(model / "config.json", config.model_copy(update={"onnx": {}}))
        assert OnnxEncoder.from_pretrained(model).info.precision == "fp32"
        shutil.copy(model_folder / "config.json", model)
        with pytest.raises(FingerprintError, match="Export it again"):
            OnnxEncoder.from_pretrained(model)

    def test_no_folder(self, tmp_path):
        with pytest.raises(ModelNotFoundError, match=r"found: no folder"):
            OnnxEncoder.from_pretrained(tmp_path / "none")


class TestOnTheHub:
    def test_fetches_the_one_file_asked_for(self, hub, model):
        hub.add(REPO, contents(model))
        assert OnnxEncoder.from_pretrained(REPO, variant="int8").info.precision == "int8"
        fetched = {request.path.rpartition("/")[2] for request in hub.asked(method="GET")}
        assert fetched == {"config.json", "model_int8.onnx"}

    def test_again_without_the_network(self, hub, model):
        hub.add(REPO, contents(model))
        OnnxEncoder.from_pretrained(REPO)
        hub.requests.clear()
        assert OnnxEncoder.from_pretrained(REPO, local_files_only=True).feature_dim == 512
        assert not hub.requests

    def test_both_files_are_of_one_commit(self, hub, model, monkeypatch, caplog):
        def followed(name, filename, *arguments, **options):
            done = real(name, filename, *arguments, **options)
            if filename == "config.json":
                hub.add(REPO, {"onnx/model.onnx": b"another's"})
            return done

        real = locate.fetch_file
        monkeypatch.setattr(locate, "fetch_file", followed)
        hub.add(REPO, contents(model))
        assert OnnxEncoder.from_pretrained(REPO).feature_dim == 512
        assert "fetched anew" not in caplog.text

    def test_a_variant_that_was_not_published(self, hub, model):
        hub.add(REPO, contents(model))
        with pytest.raises(ModelNotFoundError, match=r"it has: fp32, int8.*sslhsic export tester/tiny"):
            OnnxEncoder.from_pretrained(REPO, variant="fp16")

    def test_a_file_larger_than_announced_is_not_fetched(self, hub, model):
        hub.add(REPO, contents(model) | {"onnx/model.onnx": bytes(100_000_000)})
        with pytest.raises(HubError, match="was not fetched"):
            OnnxEncoder.from_pretrained(REPO)

    def test_a_file_damaged_in_the_cache_is_fetched_anew(self, hub, model, tmp_path):
        hub.add(REPO, contents(model))
        OnnxEncoder.from_pretrained(REPO)
        blob = next((tmp_path / "hf").rglob("snapshots/*/onnx/model.onnx")).resolve()
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)
        assert OnnxEncoder.from_pretrained(REPO).feature_dim == 512
        content[-1] ^= 3
        blob.write_bytes(content)
        with pytest.raises(FingerprintError):
            OnnxEncoder.from_pretrained(REPO, local_files_only=True)


class TestShortNames:
    @pytest.fixture
    def named(self, hub, model, monkeypatch):
        """The short name of a model that is on the Hub and not in the package."""
        sha256 = read_config(model).fingerprint.sha256
        commit = hub.add(REPO, contents(model))
        row = replace(zoo.ZOO["sslhsic-r18"], name="tiny", sha256=sha256, revision=commit)
        monkeypatch.setitem(zoo.ZOO, "tiny", row)
        monkeypatch.setenv("SSLHSIC_HUB_NAMESPACE", "tester")
        return row

    def test_pinned_weights(self, named):
        assert OnnxEncoder.from_pretrained("tiny", variant="int8").info.weights_sha256 == named.sha256

    def test_other_weights_behind_the_name(self, named, monkeypatch):
        monkeypatch.setitem(zoo.ZOO, "tiny", replace(named, sha256="0" * 64))
        with pytest.raises(FingerprintError, match="not the weights that the name stands for"):
            OnnxEncoder.from_pretrained("tiny")

    def test_unknown(self):
        with pytest.raises(ModelNotFoundError, match="Did you mean sslhsic-r18"):
            OnnxEncoder.from_pretrained("sslhsic-r19")

    def test_weights_in_the_package_without_the_file(self, named, pretrained_folder, monkeypatch, tmp_path):
        shutil.copytree(pretrained_folder, tmp_path / "package/tiny")
        monkeypatch.setattr(zoo, "files", lambda package: tmp_path / "package")
        assert OnnxEncoder.from_pretrained("tiny").info.precision == "fp32", "the Hub has it"
        with pytest.raises(ModelNotFoundError, match="sslhsic export tiny --precision fp16 --output"):
            OnnxEncoder.from_pretrained("tiny", variant="fp16")


def test_a_folder_never_stands_in_for_a_repository(hub, model, monkeypatch, tmp_path, caplog):
    shutil.copytree(model, tmp_path / "somebody/tiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"write '\./somebody/tiny'"):
        OnnxEncoder.from_pretrained("somebody/tiny")
    assert "read as a repository" in caplog.text
