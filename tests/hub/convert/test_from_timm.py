import builtins

import pytest
import timm
import torch
from torch import nn

from sslhsic_transfer import Encoder
from sslhsic_transfer.errors import MissingDependencyError, ModelNotFoundError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert import convert_timm
from tests.hub.convert.conftest import randomized

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet18", "resnet50.tv2_in1k"])
def test_gives_the_features_of_timms_network(name):
    theirs = randomized(timm.create_model(name, pretrained=False))
    encoder = Encoder.from_timm(theirs)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(IMAGES), pre_logits=True)
        torch.testing.assert_close(encoder(IMAGES), expected, rtol=1e-5, atol=1e-5)
    cfg = theirs.pretrained_cfg
    assert encoder.preprocessing.crop == cfg["input_size"][-1]
    assert encoder.preprocessing.interpolation == cfg["interpolation"]
    assert encoder.metadata["timm"]["license"] == cfg["license"]
    assert encoder.metadata["conversion"]["dropped"]["classifier or projection head"]["names"] == [
        "fc.weight",
        "fc.bias",
    ]


def test_pictures_are_prepared_as_timm_prepares_them():
    theirs = timm.create_model("resnet18.a1_in1k", pretrained=False)
    steps = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs)).transforms
    ours = Encoder.from_timm(theirs).preprocessing
    assert (steps[0].size, tuple(steps[1].size)) == (ours.resize, (ours.crop, ours.crop)) == (235, (224, 224))


def test_a_name_gives_random_weights_when_asked():
    torch.manual_seed(0)
    encoder, report = convert_timm("resnet18", pretrained=False)
    torch.manual_seed(0)
    assert torch.equal(encoder.conv1.weight, timm.create_model("resnet18").conv1.weight)
    assert report.source == "timm/resnet18 (random weights)"
    assert "timm" not in encoder.metadata, "the licence of weights that it does not have"


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("resnet18d", WeightsError, "a deep stem"),
        ("seresnet18", WeightsError, "attention in its blocks"),
        ("resnext50_32x4d", WeightsError, "grouped convolutions"),
        ("wide_resnet50_2", WeightsError, "only its 3×3 convolutions widened"),
        ("resnet50_gn", WeightsError, "106 missing: bn1.running_mean"),
        ("resnet26", UnknownArchitectureError, r"Bottleneck blocks \(2, 2, 2, 2\)"),
        ("resnetaa50", WeightsError, "features of a fixed input differ"),
        ("resnetv2_50", UnknownArchitectureError, "is a ResNetV2; expected timm's ResNet, ConvNeXt"),
        ("test_vit", UnknownArchitectureError, "VisionTransformer"),
        ("resnet17", ModelNotFoundError, "no model 'resnet17'"),
        ("resnet18.no_such_tag", ModelNotFoundError, "no_such_tag"),
    ],
)
def test_other_networks_are_refused_with_the_reason(name, error, reason):
    with pytest.raises(error, match=reason):
        Encoder.from_timm(name, pretrained=False)


@pytest.mark.parametrize("change", ["activation", "stride", "pool"])
def test_a_change_that_no_tensor_shows_is_found_by_the_features(change):
    theirs = randomized(timm.create_model("resnet18", pretrained=False))
    if change == "activation":
        theirs.layer2[0].act1 = nn.SiLU()
    elif change == "stride":
        theirs.layer4[0].conv1.stride = (1, 1)
        theirs.layer4[0].downsample[0].stride = (1, 1)
    else:
        theirs.maxpool = nn.AvgPool2d(3, 2, 1)
    with pytest.raises(WeightsError, match="features of a fixed input differ"):
        Encoder.from_timm(theirs)


def test_weights_that_cannot_be_fetched_say_so(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    with pytest.raises(ModelNotFoundError, match=r"timm cannot load 'resnet18': Network is unreachable"):
        Encoder.from_timm("resnet18")


def test_without_timm_the_error_is_its_install_command(monkeypatch):
    load = builtins.__import__

    def missing(name, *arguments, **options):
        if name.split(".")[0] == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return load(name, *arguments, **options)

    monkeypatch.setattr("importlib.import_module", lambda name: missing(name))
    with pytest.raises(MissingDependencyError, match=r"pip install 'sslhsic-transfer\[timm\]'"):
        Encoder.from_timm("resnet18")
