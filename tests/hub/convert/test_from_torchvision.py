import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet18_Weights

from sslhsic_transfer import Encoder
from sslhsic_transfer.errors import ModelNotFoundError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert import convert_torchvision


def test_a_network_gives_its_own_features(network, features):
    images, expected = features
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoder = Encoder.from_torchvision(network)
    with torch.no_grad():
        assert torch.equal(encoder(images), expected)
        encoder.conv1.weight.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "a copy"
    assert encoder.metadata["conversion"]["dropped"]["classifier or projection head"]["names"] == [
        "fc.weight",
        "fc.bias",
    ]


def test_a_name_gives_random_weights_when_asked():
    torch.manual_seed(0)
    encoder = Encoder.from_torchvision("resnet34", weights=None)
    torch.manual_seed(0)
    expected = torchvision.models.resnet34(weights=None).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


@pytest.fixture
def cache(network, tmp_path, monkeypatch):
    """Torchvision's cache with our weights under the name that it would download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", ResNet18_Weights.IMAGENET1K_V1])
def test_named_weights_come_with_their_preprocessing(cache, weights, features):
    images, expected = features
    encoder, report = convert_torchvision("resnet18", weights)
    with torch.no_grad():
        assert torch.equal(encoder(images), expected)
    theirs, ours = ResNet18_Weights.DEFAULT.transforms(), encoder.preprocessing
    assert (ours.resize, ours.crop, ours.interpolation) == (256, 224, "bilinear")
    picture = torch.randint(0, 256, (3, 300, 400), dtype=torch.uint8)
    one_level = 1 / 255 / 0.224  # resizing rounds to whole levels in its own way in torchvision's two transforms
    torch.testing.assert_close(ours.transform()(picture), theirs(picture), rtol=0, atol=one_level + 1e-5)
    assert report.source == "torchvision/resnet18/IMAGENET1K_V1"
    assert encoder.metadata["url"] == ResNet18_Weights.DEFAULT.url


@pytest.mark.parametrize(
    ("name", "weights", "error", "message"),
    [
        ("resnet18", "V9", ModelNotFoundError, "no weights 'V9' for resnet18; expected one of: IMAGENET1K_V1"),
        ("resnet50", ResNet18_Weights.DEFAULT, ModelNotFoundError, None),
        ("resnet19", "DEFAULT", UnknownArchitectureError, "Did you mean"),
        ("resnet200", None, UnknownArchitectureError, "torchvision has no resnet200; timm may"),
        ("wide_resnet50_2", None, UnknownArchitectureError, "no plain ResNet"),
        ("resnext50_32x4d", "DEFAULT", UnknownArchitectureError, "no plain ResNet"),
        ("vit_b_16", None, UnknownArchitectureError, "vit_b_16"),
    ],
)
def test_other_names_are_refused(name, weights, error, message, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(error, match=message):
        convert_torchvision(name, weights)


def test_other_networks_are_refused():
    dilated = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, False, True]).eval()
    with pytest.raises(WeightsError, match="features of a fixed input differ"):
        Encoder.from_torchvision(dilated)
    with pytest.raises(WeightsError, match="holds no ResNet"):
        Encoder.from_torchvision(nn.Linear(2, 2))


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", ResNet18_Weights.IMAGENET1K_V1])
def test_a_network_takes_the_preprocessing_of_the_weights_that_are_named(network, weights):
    encoder, report = convert_torchvision(network, weights)
    assert encoder.preprocessing.interpolation == "bilinear"
    assert report.source == "torchvision/ResNet/IMAGENET1K_V1"
    assert report.notes == ()


def test_a_network_without_named_weights_is_said_to_have_our_preprocessing(network):
    assert "the preprocessing is this library's default" in str(convert_torchvision(network).report)
    with pytest.raises(ModelNotFoundError, match="torchvision has no weights 'V9' for resnet18"):
        convert_torchvision(network, "V9")


def test_a_network_in_half_precision_is_compared_in_float32(network):
    half = copy.deepcopy(network).bfloat16()
    encoder = Encoder.from_torchvision(half)
    assert encoder.conv1.weight.dtype == torch.float32
    assert torch.equal(encoder.conv1.weight, half.conv1.weight.float())
    assert half.conv1.weight.dtype == torch.bfloat16, "stays as it was"
