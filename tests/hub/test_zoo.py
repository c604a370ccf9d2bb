import io
import json
import logging
import shutil
from dataclasses import replace

import pytest
from rich.console import Console

from sslhsic_transfer import EncoderConfig, create_encoder, from_pretrained, list_models
from sslhsic_transfer.errors import FingerprintError, ModelNotFoundError
from sslhsic_transfer.hub import zoo
from sslhsic_transfer.hub.names import HubName
from sslhsic_transfer.hub.resolve import Published, resolve
from sslhsic_transfer.hub.zoo import ZOO, ZooModel
from sslhsic_transfer.hub.zoo_table import print_models
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.results import new_result, save_results


@pytest.fixture
def named(monkeypatch, model_folder, tmp_path):
    """A short name for the test's model, with a copy in what stands for the package."""
    sha256 = json.loads((model_folder / "config.json").read_text())["fingerprint"]["sha256"]
    model = ZooModel("tiny-r18", EncoderConfig(architecture="resnet18"), "mit", "digits", "demo", sha256, "v1")
    monkeypatch.setitem(ZOO, model.name, model)
    monkeypatch.setattr(zoo, "files", lambda package: tmp_path / "package")
    shutil.copytree(model_folder, tmp_path / "package" / "tiny-r18")
    return model


def test_every_row_names_a_recipe_that_ships_and_its_network():
    for name, model in ZOO.items():
        assert model.name == name
        assert load_recipe(model.recipe).encoder == model.encoder


def test_models_are_listed_by_pattern(named):
    assert [model.name for model in list_models("sslhsic-r*")] == ["sslhsic-r18", "sslhsic-r50"]
    assert list_models("tiny-*") == [named]
    assert list_models("nothing") == []


def test_the_namespace_can_be_set(monkeypatch):
    model = ZOO["sslhsic-r50"]
    assert model.hub_name.repo_id == "sslhsic/sslhsic-r50"
    monkeypatch.setenv("SSLHSIC_HUB_NAMESPACE", "mirror")
    assert model.hub_name.repo_id == "mirror/sslhsic-r50"


def test_the_hash_is_that_of_the_pinned_revision_alone(named, monkeypatch):
    monkeypatch.setenv("SSLHSIC_HUB_NAMESPACE", "mirror")
    assert resolve("tiny-r18") == resolve("tiny-r18@v1") == Published(named.hub_name, named)
    assert resolve("tiny-r18@v2") == resolve("tiny-r18", "v2") == Published(HubName("mirror/tiny-r18", "v2"))


def test_another_revision_than_the_pinned_one_needs_an_owner(named):
    """Nobody's weights are loaded by a word alone."""
    assert resolve("tiny-r18@v1") == Published(named.hub_name, named)
    for name in ({"name_or_path": "tiny-r18@v2"}, {"name_or_path": "tiny-r18", "revision": "v2"}):
        with pytest.raises(ModelNotFoundError, match="org/tiny-r18@v2, or set SSLHSIC_HUB_NAMESPACE"):
            from_pretrained(**name)


def test_an_unknown_name_gets_what_comes_closest():
    with pytest.raises(ModelNotFoundError, match=r"Did you mean sslhsic-r5?"):
        from_pretrained("sslhsic_r50")
    with pytest.raises(ModelNotFoundError, match=r"org/repo, a folder ./folder"):
        from_pretrained("something-else")


def test_a_copy_in_the_package_is_used_without_network(named, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert from_pretrained("tiny-r18").weights_sha256 == named.sha256


def test_a_copy_with_other_weights_is_not_what_the_name_stands_for(named, monkeypatch, caplog):
    other = ZooModel("tiny-r18", named.encoder, "mit", "digits", "demo", "0" * 64, "v1")
    monkeypatch.setitem(ZOO, "tiny-r18", other)
    with pytest.raises(ModelNotFoundError, match="not in the cache"), caplog.at_level(logging.WARNING):
        from_pretrained("tiny-r18", local_files_only=True)
    assert "copy of tiny-r18 in the package is not used" in caplog.text


def test_other_weights_on_the_hub_are_not_what_the_name_stands_for(hub, named, monkeypatch, model_folder, tmp_path):
    monkeypatch.setitem(ZOO, named.name, replace(named, revision="main"))
    shutil.rmtree(tmp_path / "package")
    other = create_encoder("resnet18").save_pretrained(tmp_path / "other")
    for folder in (model_folder, other):
        hub.add(named.hub_name.repo_id, {file.name: file.read_bytes() for file in folder.iterdir()})
        if folder == model_folder:
            assert from_pretrained(named.name).weights_sha256 == named.sha256
    with pytest.raises(FingerprintError, match="not the weights that the name stands for"):
        from_pretrained(named.name)


def test_a_folder_never_stands_in_for_a_short_name(named, model_folder, monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, tmp_path / "tiny-r18")
    (tmp_path / "tiny-r18" / "model.safetensors").write_bytes(b"something else")
    assert from_pretrained("tiny-r18").weights_sha256 == named.sha256
    assert "write ./tiny-r18 to mean it" in caplog.text.lower()


def test_a_word_that_is_no_short_name_may_be_a_folder(model_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, tmp_path / "my-model")
    assert from_pretrained("my-model").feature_dim == 512


def test_the_command_shows_them_all(sslhsic_here):
    shown = sslhsic_here("models").stdout
    for text in ("sslhsic-r18", "11.2 M", "sslhsic-r50", "23.5 M", "apache-2.0"):
        assert text in shown
    assert "sslhsic-r50" not in sslhsic_here("models", "*r18").stdout


def test_the_table_shows_what_was_measured_with_these_weights(named, tmp_path):
    common = {"task": "knn", "dataset": "digits", "split": "test", "metric": "top-1", "n": 409, "protocol": "k-NN"}
    records = [
        new_result(model="raw pixels", value=0.748, **common),
        new_result(model="tiny", value=0.888, weights_sha256=named.sha256, **common),
    ]
    save_results(tmp_path / "package" / "tiny-r18" / "results.json", records)
    screen = io.StringIO()
    print_models([named], Console(file=screen, width=200))
    shown = screen.getvalue()
    for text in ("tiny-r18", "11.2 M", "mit", "in the package", "digits 88.8 / –"):
        assert text in shown
    assert "74.8" not in shown
