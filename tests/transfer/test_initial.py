import pytest

from sslhsic_transfer import create_encoder
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError
from sslhsic_transfer.transfer.initial import initial_encoder


def test_where_the_weights_come_from(model_folder, own_model):
    encoder, name, size = initial_encoder(model_folder, "pretrained", 0)
    assert (name, encoder.weights_sha256 is None, size) == (str(model_folder), False, 64)
    other, name, size = initial_encoder(model_folder, "random", 0)
    assert (name, other.weights_sha256, other.preprocessing) == ("random resnet18", None, encoder.preprocessing)
    assert size == 64
    assert not other.conv1.weight.equal(encoder.conv1.weight)
    assert other.conv1.weight.equal(initial_encoder(model_folder, "random", 0)[0].conv1.weight)
    assert not other.conv1.weight.equal(initial_encoder(model_folder, "random", 1)[0].conv1.weight)
    assert initial_encoder("resnet50", "random", 0)[1:] == ("random resnet50", 224)
    assert initial_encoder(model_folder, str(own_model), 0)[1] == str(own_model)


def test_weights_of_another_network_are_refused(model_folder, tmp_path):
    other = create_encoder("resnet18", stem="small").save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"Choose weights of the same network"):
        initial_encoder(model_folder, str(other), 0)
    with pytest.raises(ConfigError, match=r"plain networks only; the model is .*stem='small'"):
        initial_encoder(str(other), "supervised", 0)


@pytest.mark.parametrize("architecture", ["resnet18", "convnext_pico", "vit_tiny_patch16_224"])
def test_every_family_starts_from_random_weights_by_its_name(architecture):
    encoder, name, side = initial_encoder(architecture, "random", 0)
    assert (encoder.config.architecture, name, side) == (architecture, f"random {architecture}", 224)


def test_a_name_that_is_neither_model_nor_architecture_is_refused():
    with pytest.raises(ModelNotFoundError, match="resnet19"):
        initial_encoder("resnet19", "random", 0)
