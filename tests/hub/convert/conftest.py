"""A random ResNet-18 to convert, the same for all tests that change no weights."""

import pytest
import torch
import torchvision
from torch import nn

from tests.references.haiku_resnet import random_network


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """Torchvision's ResNet-18 with random weights and statistics, classifier included, in eval mode."""
    return randomized(torchvision.models.resnet18(weights=None))


def randomized(network: nn.Module) -> nn.Module:
    """Set statistics and scales other than the initial ones, so that an exchange of tensors shows."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.2, 0.2),
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.5, 2.0),
            ):
                tensor.data.uniform_(low, high, generator=generator)
            layer.num_batches_tracked.fill_(7)
    return network.eval()


@pytest.fixture(scope="session")
def features(network):
    """Compute a network's pooled features of two images."""
    body = nn.Sequential(*list(network.children())[:-1], nn.Flatten())
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return images, body(images)


@pytest.fixture(scope="session")
def haiku_network():
    """Parameters and state of a ResNet-18 in haiku's layout, with torchvision's shortcuts: small enough for files."""
    return random_network(18, first_shortcut=False)
