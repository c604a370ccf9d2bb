import os
import pickle
import re

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from sslhsic_transfer import create_encoder
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert import convert_torch
from tests.hub.convert.foreign_layouts import LAYOUTS, changed, detectron2, head, prefixed


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_gives_the_same_features(name, network, features, tmp_path):
    content = LAYOUTS[name](network.state_dict())
    torch.save(content, tmp_path / "weights.pth")
    encoder, report = convert_torch(tmp_path / "weights.pth")
    images, expected = features
    with torch.no_grad():
        assert torch.equal(encoder(images), expected)
    assert not encoder.training
    assert encoder.config == create_encoder("resnet18").config
    assert encoder.bn1.num_batches_tracked == (0 if "Detectron2" in name else 7)
    assert len(report.filled) == (20 if "Detectron2" in name else 0)

    def count(value):
        return sum(map(count, value.values())) if isinstance(value, dict) else isinstance(value, torch.Tensor)

    others = report.dropped.get("other entries of the file", ())
    elsewhere = sum(count(content[entry]) for entry in others if entry in content)
    accounted = len(report.used) + sum(map(len, report.dropped.values())) - len(others) + elsewhere
    assert accounted == count(content), "every tensor is used, or dropped by name"


def test_what_is_dropped_is_reported_and_saved(network, tmp_path):
    torch.save(LAYOUTS["MoCo"](network.state_dict()), tmp_path / "moco.pth.tar")
    encoder, report = convert_torch(tmp_path / "moco.pth.tar")
    assert report.layout == "MoCo (encoder_q.), torchvision names under state_dict"
    assert len(report.used) == 120
    assert report.dropped["classifier or projection head"] == (
        "module.encoder_q.fc.0.weight",
        "module.encoder_q.fc.2.bias",
    )
    assert report.dropped["queue of negatives"] == ("module.queue", "module.queue_ptr")
    assert len(report.dropped["stands beside the encoder (MoCo)"]) == 122
    assert report.dropped["other entries of the file"] == ("optimizer",)
    for text in ("Source:   moco.pth.tar", "Used:     120 tensors", "module.queue, module.queue_ptr", "and 116 more"):
        assert text in str(report)
    encoder.save_pretrained(tmp_path / "model")
    saved = type(encoder).from_pretrained(tmp_path / "model").metadata
    assert saved["conversion"] == report.summary()
    assert len(saved["source_sha256"]) == 64


def test_another_entry_or_prefix_can_be_asked_for(network, features, tmp_path):
    images, expected = features
    dino = LAYOUTS["DINO, both"](network.state_dict())
    dino["student"], dino["teacher"] = dino["teacher"], dino["student"]
    torch.save(dino, tmp_path / "dino.pth")
    with torch.no_grad():
        assert not torch.equal(convert_torch(tmp_path / "dino.pth").encoder(images), expected)
        assert torch.equal(convert_torch(tmp_path / "dino.pth", entry="student").encoder(images), expected)
    state = network.state_dict()
    torch.save(prefixed("encoder_k.", state) | prefixed("encoder_q.", changed(state)), tmp_path / "moco.pth")
    for prefix in ("encoder_k.", "encoder_k", "module.encoder_k."):
        with torch.no_grad():
            assert torch.equal(convert_torch(tmp_path / "moco.pth", prefix=prefix).encoder(images), expected)
    with pytest.raises(WeightsError, match=r"no ResNet at 'trunk\.'; there are some at 'encoder_k\.', 'encoder_q\.'"):
        convert_torch(tmp_path / "moco.pth", prefix="trunk")
    with pytest.raises(WeightsError, match="has no entry 'ema' that holds weights; it has: none"):
        convert_torch(tmp_path / "moco.pth", entry="ema")


def test_an_unknown_place_must_be_confirmed(network, features, tmp_path):
    images, expected = features
    torch.save(prefixed("tower.", network.state_dict()), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a place that is not known: 'tower\.'.*--prefix"):
        convert_torch(tmp_path / "a.pth")
    with torch.no_grad():
        assert torch.equal(convert_torch(tmp_path / "a.pth", prefix="tower").encoder(images), expected)


def test_nothing_unknown_is_dropped_unless_told(network, tmp_path):
    torch.save(network.state_dict() | head("adapter.weight", "layer1.0.extra"), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"1 tensors of unknown use: adapter\.weight[\s\S]*--drop"):
        convert_torch(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"1 not of this network: layer1\.0\.extra"):
        convert_torch(tmp_path / "a.pth", drop=["adapter."])
    torch.save(network.state_dict() | head("adapter.weight"), tmp_path / "a.pth")
    assert convert_torch(tmp_path / "a.pth", drop=["adapter."]).report.dropped["asked for"] == ("adapter.weight",)
    with pytest.raises(WeightsError, match="unknown use"):
        convert_torch(tmp_path / "a.pth", drop=[""])


def test_missing_tensors_and_other_shapes_are_named(network, tmp_path):
    state = dict(network.state_dict())
    del state["layer2.0.bn1.running_var"]
    state["layer3.0.conv1.weight"] = torch.zeros(256, 128, 1, 1)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError) as caught:
        convert_torch(tmp_path / "a.pth")
    assert "1 missing: layer2.0.bn1.running_var" in str(caught.value)
    assert "layer3.0.conv1.weight (256, 128, 1, 1) instead of (256, 128, 3, 3)" in str(caught.value)
    state = dict(network.state_dict())
    state["bn1.weight"] = torch.full((64,), torch.nan)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"NaN or infinite values:\n.*bn1\.weight"):
        convert_torch(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_other_resnets_are_refused_with_the_reason(name, tmp_path):
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None).state_dict()
    torch.save({key: torch.zeros(value.shape) for key, value in state.items()}, tmp_path / "a.pth")
    reason = {"resnext50_32x4d": "grouped convolutions", "wide_resnet50_2": "only its 3×3 convolutions widened"}[name]
    with pytest.raises(WeightsError, match=reason):
        convert_torch(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: {"conv1.0.weight": s["conv1.weight"]}, WeightsError, "deep stem"),
        (lambda s: {"a": torch.zeros(1)}, WeightsError, "holds no ResNet v1.5: it has 1 tensors, such as a;"),
        (lambda s: {"weights": s}, WeightsError, r"'weights' is a dict; .*The keys here are weights.*--entry"),
        (lambda s: [s], WeightsError, "holds a list; expected a state dict"),
        (lambda s: s | prefixed("module.", s), WeightsError, "with and without 'module.'"),
        (
            lambda s: s | {"conv1.weight": torch.zeros(64, 4, 7, 7)},
            UnknownArchitectureError,
            r"\(64, 4, 7, 7\); expected",
        ),
        (lambda s: s | {"conv1.weight": torch.zeros(80, 3, 7, 7)}, UnknownArchitectureError, "C = 64, 128 or 256"),
        (
            lambda s: {name: value for name, value in s.items() if "layer4.1" not in name},
            UnknownArchitectureError,
            r"has BasicBlock blocks \(2, 2, 2, 1\); expected one of: resnet18 BasicBlock \(2, 2, 2, 2\)",
        ),
    ],
)
def test_files_that_hold_something_else_say_what(change, error, message, network, tmp_path):
    torch.save(change(dict(network.state_dict())), tmp_path / "a.pth")
    with pytest.raises(error, match=message):
        convert_torch(tmp_path / "a.pth")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch MARKER",)


def test_no_code_runs(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": network.state_dict(), "hook": Hostile()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights only, without running code"):
        convert_torch(tmp_path / "a.pth")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": Hostile()}))
    with pytest.raises(WeightsError, match=r"asks for \w+\.system"):
        convert_torch(tmp_path / "a.pkl")
    assert not (tmp_path / "MARKER").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04rest"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pkl"])
def test_damaged_files_are_refused(content, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        convert_torch(path)
    with pytest.raises(ModelNotFoundError, match="There is no file"):
        convert_torch(tmp_path / f"nothing{suffix}")


def test_safetensors_and_detectron2s_pickles(network, features, tmp_path):
    images, expected = features
    save_file(dict(network.state_dict()), tmp_path / "a.safetensors")
    arrays = {name: value.numpy() for name, value in detectron2(network.state_dict()).items()}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}))
    for name in ("a.safetensors", "a.pkl"):
        with torch.no_grad():
            assert torch.equal(convert_torch(tmp_path / name).encoder(images), expected)


def test_an_archive_of_torch_may_be_called_pkl(network, features, tmp_path):
    images, expected = features
    torch.save(network.state_dict(), tmp_path / "weights.pkl")
    with torch.no_grad():
        assert torch.equal(convert_torch(tmp_path / "weights.pkl").encoder(images), expected)


@pytest.mark.parametrize(("architecture", "width"), [("resnet34", 1), ("resnet50", 1), ("resnet18", 2)])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_depth_stem_and_width_are_read_off_the_shapes(architecture, width, stem, tmp_path):
    encoder = create_encoder(architecture, width=width, stem=stem)
    torch.save(encoder.half().state_dict(), tmp_path / "a.pth")
    found, report = convert_torch(tmp_path / "a.pth")
    assert found.config == encoder.config
    assert found.conv1.weight.dtype == torch.float32
    assert ("stride 1" in " ".join(report.notes)) == (stem == "small")


def test_padding_and_preprocessing_are_the_callers(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pth")
    assert convert_torch(tmp_path / "a.pth", padding="same").encoder.config.padding == "same"
    assert convert_torch(tmp_path / "a.pth").encoder.preprocessing.interpolation == "bicubic"
    with pytest.raises((ConfigError, ValueError), match=r"(?s)padding.*'torch' or 'same'"):
        convert_torch(tmp_path / "a.pth", padding="valid")
