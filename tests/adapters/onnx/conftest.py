"""A pretrained encoder and files exported from it; encoders of other forms with statistics that matter."""

from pathlib import Path

import pytest
import torch
from torch import nn

from sslhsic_transfer import Encoder, Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer.adapters.onnx import export


def lively(architecture: str = "resnet18", **options: object) -> Encoder:
    """Make an encoder whose normalization changes values, so that a graph without it would be noticed."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    encoder = create_encoder(architecture, preprocessing=Preprocessing.for_size(64), **options)
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(0.2 * torch.randn(layer.num_features, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(layer.num_features, generator=generator))
            layer.weight.data.copy_(0.5 + torch.rand(layer.num_features, generator=generator))
            layer.bias.data.copy_(0.2 * torch.randn(layer.num_features, generator=generator))
    return encoder.eval()


@pytest.fixture(scope="session")
def encoder(pretrained_folder: Path) -> Encoder:
    return from_pretrained(pretrained_folder)


@pytest.fixture(scope="session")
def pictures(digits: Path) -> Path:
    """Give a few pictures with classes, for verification."""
    return digits / "test"


@pytest.fixture(scope="session")
def files(encoder: Encoder, digits: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the encoder into a folder, which tests must not change."""
    root = tmp_path_factory.mktemp("onnx")
    export(encoder, root / "model.onnx", outputs=("pooled", "c2", "c3", "c4", "c5"), pictures=pictures)
    export(encoder, root / "resized.onnx", input="resized", pictures=pictures)
    export(encoder, root / "pictures.onnx", input="pictures", pictures=pictures)
    export(encoder, root / "fp16.onnx", precision="fp16", pictures=pictures)
    export(encoder, root / "int8.onnx", precision="int8", calibration=digits / "train", pictures=pictures)
    export(encoder, root / "fixed.onnx", batch=4, size=64, pictures=pictures)
    return root
