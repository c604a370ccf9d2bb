"""The repository that we publish, loaded by other people's libraries."""

import os
import subprocess
import sys

import pytest
import torch

from sslhsic_transfer import create_encoder
from sslhsic_transfer.models.config import STAGES

REPO = "tester/shared"


@pytest.fixture(params=["resnet18", "resnet50"])
def encoder(request, hub, tmp_path):
    """An encoder with statistics of its own, and its two files on the Hub."""
    torch.manual_seed(0)
    encoder = create_encoder(request.param)
    encoder(torch.randn(8, 3, 64, 64))
    folder = encoder.eval().save_pretrained(tmp_path / "model")
    hub.add(REPO, {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")})
    return encoder


@pytest.fixture
def images():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def assert_same(ours, theirs):
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_timm(encoder, images):
    import timm

    model = timm.create_model(f"hf_hub:{REPO}", pretrained=True, num_classes=0).eval()
    assert_same(encoder(images), model(images))
    maps = timm.create_model(f"hf_hub:{REPO}", pretrained=True, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    assert_same(list(encoder.feature_maps(images, STAGES).values()), maps(images))
    assert maps.feature_info.channels() == [encoder.specs[stage].channels for stage in STAGES]
    assert maps.feature_info.reduction() == [encoder.specs[stage].stride for stage in STAGES]


def test_timm_preprocesses_alike(encoder):
    import timm

    model = timm.create_model(f"hf_hub:{REPO}", pretrained=True, num_classes=0)
    config, ours = timm.data.resolve_model_data_config(model), encoder.preprocessing
    assert tuple(config["input_size"]) == (3, ours.crop, ours.crop)
    assert (tuple(config["mean"]), tuple(config["std"])) == (ours.mean, ours.std)
    assert (config["interpolation"], config["crop_pct"]) == (ours.interpolation, ours.crop / ours.resize)


@torch.no_grad()
def test_torchvision(encoder, images, tmp_path):
    import torchvision
    from huggingface_hub import hf_hub_download
    from safetensors.torch import load_file

    model = getattr(torchvision.models, encoder.config.architecture)()
    model.fc = torch.nn.Identity()
    model.load_state_dict(load_file(hf_hub_download(REPO, "model.safetensors")), strict=True)
    assert_same(encoder(images), model.eval()(images))


TRANSFORMERS = """
import sys, torch
from transformers import AutoImageProcessor, AutoModel
model = AutoModel.from_pretrained(sys.argv[1]).eval()
with torch.no_grad():
    output = model(torch.load(sys.argv[2]))
print(type(model).__name__, type(AutoImageProcessor.from_pretrained(sys.argv[1])).__name__)
torch.save((output.pooler_output.flatten(1), output.last_hidden_state), sys.argv[3])
"""


@torch.no_grad()
def test_transformers(encoder, images, tmp_path):
    torch.save(images, tmp_path / "images.pt")
    command = [sys.executable, "-c", TRANSFORMERS, REPO, tmp_path / "images.pt", tmp_path / "output.pt"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["TimmWrapperModel", "TimmWrapperImageProcessor"]
    pooled, last = torch.load(tmp_path / "output.pt")
    assert_same(encoder(images), pooled)
    assert_same(encoder.feature_maps(images, ("c5",))["c5"], last)
