import pytest
import torch

from sslhsic_transfer.adapters.depth import DepthModel
from sslhsic_transfer.errors import ConfigError
from tests.contracts import AdapterContract, trained_encoder


class DepthContract(AdapterContract):
    head = "upproj"

    def build(self, source, **options):
        return DepthModel(source, self.head, **options)

    def backbone(self, model):
        return model.backbone

    def maps(self, model, images):
        return model.backbone(images)

    def whole(self, model, images):
        return {"depth": model(images)}

    def loss(self, model):
        return (model(torch.randn(2, 3, 64, 96)) - 3).square().mean()


class TestUpProjection(DepthContract):
    head = "upproj"


class TestPyramid(DepthContract):
    head = "dpt"


@torch.no_grad()
@pytest.mark.parametrize("head", ["upproj", "dpt"])
@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_depth_has_the_pictures_size_and_lies_below_the_cap(head, size):
    model = DepthModel(trained_encoder("resnet18"), head, cap=5.0).eval()
    depth = model(torch.randn(2, 3, *size))
    assert depth.shape == (2, 1, *size)
    assert depth.min() >= 0
    assert depth.max() <= 5
    assert DepthModel(trained_encoder("resnet18"), head, cap=None).eval()(torch.randn(1, 3, *size)).min() >= 0


def test_an_unknown_head_is_refused():
    with pytest.raises(ConfigError, match="expected one of upproj, dpt"):
        DepthModel(trained_encoder("resnet18"), "unet")
