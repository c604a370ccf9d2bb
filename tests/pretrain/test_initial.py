import socket

import pytest
import torch
import torchvision

from sslhsic_transfer import create_encoder, from_pretrained
from sslhsic_transfer.errors import CheckpointError, ConfigError, ModelNotFoundError
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.initial import initial_weights
from sslhsic_transfer.training.checkpoint import list_checkpoints, save_checkpoint

R18 = EncoderConfig(architecture="resnet18")


def test_a_model_folder_gives_its_weights(model_folder):
    expected = from_pretrained(model_folder).state_dict()
    found = initial_weights(str(model_folder), R18)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture
def torchvision_cache(tmp_path, monkeypatch):
    """Torchvision's cache with a ResNet-18 of its own layout, under the name it would download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), folder / "resnet18-f37072fd.pth")
    return model


def test_torchvision_weights_give_torchvision_features(torchvision_cache):
    encoder = create_encoder("resnet18").eval()
    encoder.load_state_dict(initial_weights("torchvision/IMAGENET1K_V1", R18))
    torchvision_cache.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images), torchvision_cache.eval()(images))


def test_weights_that_cannot_be_downloaded_say_from_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(ModelNotFoundError, match=r"cannot be downloaded from https://\S+resnet18-f37072fd\.pth"):
        initial_weights("torchvision/IMAGENET1K_V1", R18)


@pytest.mark.parametrize(
    ("source", "config", "error", "message"),
    [
        ("torchvision/V9", {}, ModelNotFoundError, "no weights 'V9' for resnet18; expected one of: IMAGENET1K_V1"),
        ("torchvision/DEFAULT", {"stem": "small"}, ConfigError, r"plain resnet18 only; .*\(stem small"),
        ("MODEL", {"padding": "same"}, ConfigError, "holds resnet18 .* padding torch.* padding same"),
        ("MODEL", {"architecture": "resnet50"}, ConfigError, "holds resnet18 .* the recipe's encoder is resnet50"),
        ("nowhere", {}, ModelNotFoundError, "nowhere"),
    ],
)
def test_other_weights_are_refused(source, config, error, message, model_folder):
    with pytest.raises(error, match=message):
        initial_weights(source.replace("MODEL", str(model_folder)), R18.model_copy(update=config))


def test_a_run_starts_from_the_weights_and_says_so(model_folder, tiny_overrides, digits, tmp_path):
    """At a learning rate of almost nothing the weights stay what they were."""
    settings = [*tiny_overrides, f"init_from={model_folder}", "optimizer.learning_rate=1e-12", "epochs=1"]
    model = from_pretrained(pretrain(load_recipe("demo", settings), digits, tmp_path / "run", progress=False))
    start = from_pretrained(model_folder)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, start.get_parameter(name), atol=1e-6, rtol=1e-5)
    assert model.metadata["recipe"]["init_from"] == str(model_folder)


def test_resuming_does_not_need_them_any_more(own_model, tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, f"init_from={own_model}"])
    pretrain(recipe, digits, tmp_path / "run", progress=False)
    before = (tmp_path / "run/model/model.safetensors").read_bytes()
    (own_model / "config.json").unlink()
    list_checkpoints(tmp_path / "run/checkpoints")[-1].rename(tmp_path / "last")
    pretrain(recipe, digits, tmp_path / "run", resume=True, progress=False)
    assert (tmp_path / "run/model/model.safetensors").read_bytes() == before


def test_a_checkpoint_gives_the_averaged_weights(tiny_overrides, digits, tmp_path, monkeypatch):
    recipe = load_recipe("demo", [*tiny_overrides, "average_decay=0.9", "epochs=1"])
    model = from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))
    (checkpoint,) = list_checkpoints(tmp_path / "run/checkpoints")
    found = initial_weights(str(checkpoint), R18)
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    monkeypatch.chdir(checkpoint.parent)
    assert initial_weights(checkpoint.name, R18).keys() == found.keys()
    weights = checkpoint / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="damaged"):
        initial_weights(str(checkpoint), R18)


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, 3, {"network": {}, "optimizer": {}}, keep=1)
    with pytest.raises(ConfigError, match="no checkpoint of a pretraining run"):
        initial_weights(str(path), EncoderConfig(architecture="resnet18"))
    path = save_checkpoint(tmp_path, 4, {"trainer": {"learner": {}, "criterion": {}, "average": None}}, keep=1)
    with pytest.raises(ConfigError, match=r"there is no .*recipe\.yaml"):
        initial_weights(str(path), EncoderConfig(architecture="resnet18"))
