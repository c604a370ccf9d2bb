"""Checkpoints with bytes changed: the very state, or an error of ours; damage beyond the hashes, too."""

import json
from pathlib import Path

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.training import checkpoint
from sslhsic_transfer.training.checkpoint import load_checkpoint, save_checkpoint
from tests.fuzzing import FORMS, Form, read_all
from tests.training.test_checkpoint import STATE, same

MOST = 150  # MiB: a checkpoint of a few kilobytes, and what torch takes at first


def _read(path: Path) -> None:
    step, state = load_checkpoint(path)
    assert step == 12
    assert same(state, STATE)


def _read_as_hashed(path: Path) -> None:
    """As if it had been saved so, which is what somebody who means harm makes of it: any state may come of it."""
    file = path / "state.json"
    document = json.loads(file.read_text())
    if isinstance(document, dict):
        document.pop("own_sha256", None)
        document["sha256"] = sha256_of_file(path / "state.safetensors")
        file.write_text(json.dumps(document | {"own_sha256": checkpoint._hash_of(document)}))
    _, state = load_checkpoint(path)
    assert isinstance(state, dict)


@FORMS
def test_damaged_bytes(form: Form, tmp_path):
    path = save_checkpoint(tmp_path, 12, STATE, keep=1)
    for file in ("state.json", "state.safetensors"):
        whole = (path / file).read_bytes()
        found = read_all(_read, form.inputs([whole], 200), path, most=MOST, file=file)
        assert found["CheckpointError"] > 150
        (path / file).write_bytes(whole)


@FORMS
def test_damaged_tensors_of_the_right_hash(form: Form, tmp_path):
    path = save_checkpoint(tmp_path, 12, STATE, keep=1)
    whole = (path / "state.safetensors").read_bytes()
    found = read_all(_read_as_hashed, form.inputs([whole], 300), path, most=MOST, file="state.safetensors")
    assert found["CheckpointError"] > 100
    assert found["read"] > 2
