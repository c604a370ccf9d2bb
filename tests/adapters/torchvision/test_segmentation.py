import pytest
import torch

from sslhsic_transfer.adapters.torchvision import deeplabv3, fcn, lraspp
from tests.contracts import AdapterContract, trained_encoder


class TorchvisionSegmenter(AdapterContract):
    make = None
    stages = (("out", "c5"),)

    def build(self, source, **options):
        return type(self).make(source, 5, output_stride=32, **options)

    def backbone(self, model):
        return model.backbone.body

    def maps(self, model, images):
        return {dict(self.stages)[name]: level for name, level in model.backbone(images).items()}

    def whole(self, model, images):
        return model(images)

    def loss(self, model):
        return sum(out.square().mean() for out in model(torch.randn(2, 3, 64, 96)).values())


class TestDeepLabV3(TorchvisionSegmenter):
    make = deeplabv3
    stages = (("out", "c5"), ("aux", "c4"))

    def build(self, source, **options):
        return deeplabv3(source, 5, output_stride=32, auxiliary=True, **options)


class TestFCN(TorchvisionSegmenter):
    make = fcn


class TestLRASPP(TorchvisionSegmenter):
    make = lraspp
    stages = (("low", "c3"), ("high", "c5"))


@torch.no_grad()
@pytest.mark.parametrize("make", [deeplabv3, fcn, lraspp])
@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_gives_a_score_for_each_pixel_and_class(make, size):
    model = make(trained_encoder("resnet18"), 5).eval()
    out = model(torch.randn(2, 3, *size))
    assert list(out) == ["out"]
    assert out["out"].shape == (2, 5, *size)


@torch.no_grad()
@pytest.mark.parametrize(("output_stride", "side"), [(32, 2), (16, 4), (8, 8)])
def test_dilation_makes_the_last_map_finer(output_stride, side):
    model = deeplabv3(trained_encoder("resnet18"), 5, output_stride=output_stride).eval()
    assert model.backbone(torch.randn(1, 3, 64, 64))["out"].shape[-2:] == (side, side)


def test_the_second_head_learns_from_c4():
    model = fcn(trained_encoder("resnet18"), 5, auxiliary=True)
    assert set(model(torch.randn(2, 3, 64, 64))) == {"out", "aux"}
