import pytest
import torch

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.models.config import STAGES, FeatureSpec

# Even and odd on every grid.
CASES = [("resnet18", (64, 64)), ("resnet18", (97, 67)), ("resnet18", (70, 65)), ("resnet50", (70, 65))]


def trained(architecture="resnet18", **options):
    """Make an encoder in float64 whose statistics are not the initial ones."""
    torch.manual_seed(0)
    encoder = create_encoder(architecture, **options)
    encoder(torch.randn(4, 3, 64, 64))
    return encoder.double().eval()


@pytest.mark.parametrize(("architecture", "size"), CASES)
@pytest.mark.parametrize("padding", ["torch", "same"])
def test_its_maps_are_the_encoders(architecture, padding, size):
    encoder = trained(architecture, padding=padding)
    backbone = DenseBackbone(encoder, ("c3", "c5")).eval()
    images = torch.randn(1, 3, *size, dtype=torch.float64)
    maps, expected = backbone(images), encoder.feature_maps(images)
    assert list(maps) == ["c3", "c5"]
    assert all(torch.equal(map_, expected[stage]) for stage, map_ in maps.items())
    assert backbone.specs == {stage: encoder.specs[stage] for stage in ("c3", "c5")}


@torch.no_grad()
@pytest.mark.parametrize(("architecture", "size"), CASES)
@pytest.mark.parametrize("padding", ["torch", "same"])
@pytest.mark.parametrize(("output_stride", "finer"), [(16, {"c5": 2}), (8, {"c4": 2, "c5": 4})])
def test_dilation_only_fills_the_grid(architecture, padding, size, output_stride, finer):
    """Where the coarse grid lies in the fine one, the values are the undilated network's."""
    encoder = trained(architecture, padding=padding)
    backbone = DenseBackbone(encoder, output_stride=output_stride).eval()
    images = torch.randn(1, 3, *size, dtype=torch.float64)
    coarse, fine = encoder.feature_maps(images), backbone(images)
    for stage in STAGES:
        step = finer.get(stage, 1)
        torch.testing.assert_close(fine[stage][..., ::step, ::step], coarse[stage], rtol=1e-10, atol=1e-10)
        assert backbone.specs[stage] == FeatureSpec(coarse[stage].shape[1], encoder.specs[stage].stride // step)
        expected = [-(-side // backbone.specs[stage].stride) for side in size]
        assert list(fine[stage].shape[-2:]) == expected


@pytest.mark.parametrize("freeze_at", range(6))
def test_what_is_frozen_neither_trains_nor_counts(freeze_at):
    encoder = trained()
    backbone = DenseBackbone(encoder, freeze_at=freeze_at).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    loss = sum(level.square().mean() for level in backbone(torch.randn(4, 3, 64, 64, dtype=torch.float64)).values())
    if freeze_at < 5:
        loss.backward()
        torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1).step()
    assert loss.requires_grad == (freeze_at < 5)
    frozen = [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)][:freeze_at]
    prefixes = [f"{name}." for names in frozen for name in names]
    for name, value in backbone.state_dict().items():
        is_frozen = any(name.startswith(prefix) for prefix in prefixes)
        assert torch.equal(value, before[name]) == is_frozen, name
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is None) == any(name.startswith(prefix) for prefix in prefixes), name


def test_fixed_statistics_leave_scales_to_train():
    backbone = DenseBackbone(trained(), norm_eval=True).train()
    before = backbone.bn1.running_mean.clone()
    backbone(torch.randn(4, 3, 64, 64, dtype=torch.float64))["c5"].mean().backward()
    assert torch.equal(backbone.bn1.running_mean, before)
    assert backbone.bn1.weight.grad is not None
    assert not backbone.layer4[0].bn1.training
    assert backbone.train().layer4[0].training


def test_the_encoder_stays_as_it_is():
    encoder = trained()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    backbone = DenseBackbone(encoder, output_stride=8, freeze_at=3)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_its_state_is_the_encoders_by_name():
    encoder = trained()
    backbone = DenseBackbone(encoder, output_stride=8)
    assert backbone.report.complete
    assert set(backbone.report.matched) == set(encoder.state_dict())
    encoder.load_state_dict(backbone.state_dict(), strict=True)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        DenseBackbone(trained(), ("c1",), output_stride=4, freeze_at=6)
    for text in ("stages: got ['c1']", "output_stride: got 4", "freeze_at: got 6"):
        assert text in str(caught.value)


def test_what_is_not_computed_is_not_trained():
    """Distributed training waits for a gradient of every parameter that asks for one."""
    backbone = DenseBackbone(trained(), ("c2", "c3")).train()
    sum(map_.mean() for map_ in backbone(torch.randn(2, 3, 64, 64, dtype=torch.float64)).values()).backward()
    asked = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    given = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert asked == given
    assert {name.split(".")[0] for name in asked} == {"conv1", "bn1", "layer1", "layer2"}
