import copy

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.models.checksums import checksums


@pytest.fixture
def encoder(model_folder):
    return from_pretrained(model_folder)


@pytest.mark.parametrize(
    "same",
    [
        copy.deepcopy,
        lambda encoder: encoder.to(torch.bfloat16),
        lambda encoder: encoder.double().train().eval(),
        lambda encoder: encoder.requires_grad_(False).to(memory_format=torch.channels_last),
    ],
    ids=["copied", "cast", "cast twice", "laid out"],
)
def test_weights_keep_their_hash_whatever_form_they_take(encoder, same):
    expected = encoder.weights_sha256
    assert expected is not None
    assert same(encoder).weights_sha256 == expected


def test_weights_that_were_trained_have_no_file(encoder):
    optimizer = torch.optim.SGD([encoder.layer4[0].conv1.weight], lr=1e-3)
    encoder(torch.randn(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    assert encoder.weights_sha256 is None
    assert encoder.to(torch.bfloat16).weights_sha256 is None


def test_statistics_are_weights_too(encoder):
    encoder.train()(torch.randn(2, 3, 64, 64))
    assert encoder.weights_sha256 is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_number_shows(dtype):
    layer = torch.nn.Linear(3, 2).to(dtype)
    before = checksums(layer)
    with torch.no_grad():
        layer.weight[1, 1] = 9
    assert checksums(layer) != before


def test_tensors_without_values_have_none():
    assert checksums(torch.nn.Linear(3, 2, device="meta")) is None
