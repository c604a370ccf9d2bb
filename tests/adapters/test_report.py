import pytest
import torch
from torch import nn

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.report import load_encoder
from sslhsic_transfer.errors import WeightsError


@pytest.fixture(scope="module")
def encoder():
    return create_encoder("resnet18")


def test_tells_what_became_of_each_tensor(encoder):
    network = nn.ModuleDict({"stem": nn.ModuleDict({"conv1": nn.Conv2d(3, 64, 7, bias=False)})})
    small = nn.Module()
    small.name_or_path, small.weights_sha256 = "small", "0" * 64
    small.conv1 = encoder.conv1
    report = load_encoder(network, small, {"conv1.weight": "stem.conv1.weight"})
    assert report.renamed == {"stem.conv1.weight": "conv1.weight"}
    assert report.complete
    assert torch.equal(network["stem"]["conv1"].weight, encoder.conv1.weight)
    assert "small, SHA-256 000000000000…: 0 tensors under their own names, 1 renamed, 0 missing" in str(report)


def test_a_partial_load_raises_and_copies_nothing(encoder):
    network = create_encoder("resnet18")
    network.fc = nn.Linear(512, 10)
    before = network.conv1.weight.clone()
    with pytest.raises(WeightsError, match=r"2 missing, 0 unexpected(?s:.*)missing: fc\.bias, fc\.weight"):
        load_encoder(network, encoder)
    del network.fc
    del network.layer4[1].bn2
    with pytest.raises(WeightsError, match=r"unexpected: layer4\.1\.bn2\.weight"):
        load_encoder(network, encoder)
    assert torch.equal(network.conv1.weight, before)


def test_other_shapes_raise(encoder):
    with pytest.raises(WeightsError, match=r"of another shape: conv1\.weight: \(64, 3, 7, 7\) into \(64, 3, 3, 3\)"):
        load_encoder(create_encoder("resnet18", stem="small"), encoder)


def test_the_network_keeps_its_dtype(encoder):
    network = create_encoder("resnet18").half()
    load_encoder(network, encoder)
    assert network.conv1.weight.dtype == torch.float16
    torch.testing.assert_close(network.conv1.weight.float(), encoder.conv1.weight, rtol=1e-3, atol=1e-6)
