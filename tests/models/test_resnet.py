import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from sslhsic_transfer import create_encoder
from sslhsic_transfer.models.resnet import SamePadConv2d, SamePadMaxPool2d
from tests.references.same_padding import conv2d_same, max_pool2d_same

ARCHITECTURES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_is_torchvisions_network_with_torchvisions_names(architecture):
    theirs = getattr(torchvision.models, architecture)(weights=None).eval()
    theirs.fc = nn.Identity()
    ours = create_encoder(architecture).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_resnet50_has_the_papers_number_of_parameters():
    assert sum(parameter.numel() for parameter in create_encoder("resnet50").parameters()) == 23_508_032


@pytest.mark.parametrize("width", [2, 4])
def test_wide_networks_multiply_every_channel(width):
    with torch.device("meta"):
        narrow, wide = create_encoder("resnet50"), create_encoder("resnet50", width=width)
    for (name, small), (_, large) in zip(narrow.named_parameters(), wide.named_parameters(), strict=True):
        expected = [n if n in (1, 3, 7) else n * width for n in small.shape]
        assert list(large.shape) == expected, name


@pytest.mark.parametrize("size", [8, 9, 12, 13])
@pytest.mark.parametrize("kernel", [3, 7])
def test_same_padding_is_the_jax_convention(size, kernel):
    x = torch.randn(2, 3, size, size + 3)
    layer = SamePadConv2d(3, 4, kernel, stride=2, padding=kernel // 2, bias=False)
    expected = conv2d_same(x.numpy(), layer.weight.detach().numpy(), stride=2)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_same_max_pool_is_the_jax_convention(size):
    x = torch.randn(2, 3, size, size + 3) - 5  # below zero: padding with zeros would win
    expected = max_pool2d_same(x.numpy(), kernel=3, stride=2)
    np.testing.assert_allclose(SamePadMaxPool2d(3, 2, 1)(x).numpy(), expected)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_same_padding_differs_on_even_inputs_only(architecture):
    """Sides of 64k + 1 stay odd in every layer: 65, 33, 17, 9, 5, 3."""
    torch.manual_seed(0)
    symmetric = create_encoder(architecture).eval()
    same = create_encoder(architecture, padding="same").eval()
    same.load_state_dict(symmetric.state_dict(), strict=True)
    with torch.no_grad():
        odd, even = torch.randn(1, 3, 65, 65), torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(same(odd), symmetric(odd), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(same(even), symmetric(even), rtol=1e-2, atol=1e-2)


def test_zero_init_residual_starts_blocks_as_the_identity():
    encoder = create_encoder("resnet50", zero_init_residual=True)
    assert all((block.bn3.weight == 0).all() for block in encoder.layer2)
    assert (create_encoder("resnet50").layer2[0].bn3.weight == 1).all()
