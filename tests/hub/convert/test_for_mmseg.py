from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import sslhsic_transfer.adapters.mmseg  # noqa: F401 - imports mmseg without its warnings
from sslhsic_transfer import create_encoder
from sslhsic_transfer.errors import ConfigError, OutputExistsError
from sslhsic_transfer.hub.convert import save_mmseg, to_mmseg
from tests.contracts import trained_encoder


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 34, 50])
def test_mmsegs_own_network_gives_the_encoders_maps(depth, tmp_path):
    encoder = trained_encoder(f"resnet{depth}")
    save_mmseg(encoder, tmp_path / "model.pth")
    network = MODELS.get("ResNet")(
        depth, style="pytorch", init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "model.pth")}
    )
    network.init_weights()
    network.eval()  # gives nothing back in mmseg
    expected = encoder.state_dict()
    assert set(network.state_dict()) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    for size in ((64, 64), (97, 65)):
        images = torch.randn(2, 3, *size)
        for found, level in zip(network(images), encoder.feature_maps(images).values(), strict=True):
            torch.testing.assert_close(found, level, rtol=1e-5, atol=1e-5)


def test_the_config_stands_below_any_of_mmsegs_own(tmp_path):
    encoder = trained_encoder("resnet50")
    _, part = save_mmseg(encoder, tmp_path / "model.pth")
    whole = tmp_path / "whole.py"
    base = (
        Path(mmseg.__file__).parent / ".mim/configs/deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    )
    whole.write_text(f"_base_ = {str(base)!r}\n{part.read_text()}")
    config = Config.fromfile(whole)
    config.model.data_preprocessor.test_cfg = None
    init_default_scope("mmseg")
    for head in (config.model.decode_head, config.model.auxiliary_head):
        head.loss_decode.avg_non_ignore = True
    model = MODELS.build(config.model)
    model.init_weights()
    assert type(model.backbone) is MODELS.get("ResNet")
    state = model.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert model.backbone.layer4[1].conv2.dilation == (4, 4)
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_the_result_is_a_copy():
    encoder = create_encoder("resnet18")
    state = to_mmseg(encoder)
    state["conv1.weight"].zero_()
    assert encoder.conv1.weight.abs().sum() > 0


def test_what_mmsegs_network_cannot_be_is_listed():
    with pytest.raises(ConfigError) as caught:
        to_mmseg(create_encoder("resnet18", stem="small", padding="same", width=2))
    for text in ("stem: got 'small'", "padding: got 'same'", "width: got 2", "SSLHSICEncoder"):
        assert text in str(caught.value)
    assert "architecture" not in str(caught.value)
    with torch.device("meta"), pytest.raises(ConfigError, match="architecture: got 'resnet200'"):
        to_mmseg(create_encoder("resnet200"))


def test_files_are_replaced_only_when_asked(tmp_path):
    encoder = create_encoder("resnet18")
    save_mmseg(encoder, tmp_path / "model.pth")
    with pytest.raises(OutputExistsError, match=r"model\.pth and .*model\.py"):
        save_mmseg(encoder, tmp_path / "model.pth")
    save_mmseg(encoder, tmp_path / "model.pth", overwrite=True)
    with pytest.raises(ConfigError, match=r"ends in \.pth"):
        save_mmseg(encoder, tmp_path / "model.bin")
