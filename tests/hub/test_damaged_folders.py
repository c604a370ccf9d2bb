"""Model folders with bytes changed: the very encoder, or an error of ours; damage beyond the hash, too."""

import json
import struct
from pathlib import Path
from random import Random

import pytest
import torch

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.hub.config_file import read_config
from sslhsic_transfer.hub.encoder import load_folder
from sslhsic_transfer.hub.safetensors_file import read_safetensors_file
from tests.fuzzing import FORMS, Form, read_all
from tests.mutations import damaged

# MiB: the weights of a ResNet-18 (45 MB), read and as parameters, and its features.
MOST = 400


def _read(path: Path) -> None:
    encoder = load_folder(path)
    assert encoder.config.architecture == "resnet18"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in encoder.state_dict().values())


def _read_as_hashed(path: Path) -> None:
    """Read a file as if it had been saved so, with the hash that an attacker would write."""
    file = path / "config.json"
    config = json.loads(file.read_text())
    config["fingerprint"]["sha256"] = sha256_of_file(path / "model.safetensors")
    file.write_text(json.dumps(config))
    _read(path)


def _header_damaged(content: bytes, random: Random) -> bytes:
    """Change the part that names the tensors; the rest keeps the length that it tells."""
    size = int.from_bytes(content[:8], "little")
    header = damaged(content[8 : 8 + size], random)
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


@FORMS
def test_damaged_config(form: Form, own_model):
    whole = (own_model / "config.json").read_bytes()
    found = read_all(read_config, form.inputs([whole], 400), own_model, most=60, file="config.json")
    assert found["ConfigError"] > 100
    assert found["read"] > 20
    read_all(_read, form.inputs([whole], 3), own_model, most=MOST, file="config.json")


@FORMS
@pytest.mark.parametrize("work", [_read, _read_as_hashed])
def test_damaged_weights(work, form: Form, own_model):
    whole = (own_model / "model.safetensors").read_bytes()
    for change in (damaged, _header_damaged):
        found = read_all(work, form.inputs([whole], 2, change), own_model, most=MOST, file="model.safetensors")
        assert sum(found.values()) == 2 * form.times


def _tensors(path: Path) -> None:
    found = read_safetensors_file(path, hashed=True)
    assert sum(tensor.nbytes for tensor in found.tensors.values()) < path.stat().st_size


@FORMS
def test_damaged_safetensors(form: Form, tmp_path):
    from safetensors.torch import save

    tensors = {"a": torch.ones(3, 2), "b": torch.zeros(1, dtype=torch.int64), "c.d": torch.zeros((), dtype=torch.half)}
    whole = save(tensors, metadata={"format": "pt"})
    for change in (damaged, _header_damaged):
        found = read_all(_tensors, form.inputs([whole], 500, change), tmp_path / "a.safetensors", most=60)
        assert found["WeightsError"] > 100
