"""Checkpoints that were changed since they were saved: an error, never another state."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import CheckpointError
from sslhsic_transfer.training.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    newest_intact,
    restoring_from,
    save_checkpoint,
)
from tests.mutations import mutated, with_another_value
from tests.training.test_checkpoint import STATE, same


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("saved"), 12, STATE, keep=1, score=0.5)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(["state.json", "state.safetensors"]))
def test_bytes_that_change_are_found(saved, tmp_path_factory, data, name):
    path = shutil.copytree(saved, tmp_path_factory.mktemp("changed") / saved.name)
    (path / name).write_bytes(mutated((saved / name).read_bytes(), data))
    _is_refused_or_the_same(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_values_that_change_are_found(saved, tmp_path_factory, data):
    path = shutil.copytree(saved, tmp_path_factory.mktemp("changed") / saved.name)
    document = json.loads((saved / "state.json").read_text())
    (path / "state.json").write_text(with_another_value(document, data))
    _is_refused_or_the_same(path)


def _is_refused_or_the_same(path):
    said = ""
    try:
        step, state = load_checkpoint(path)
    except CheckpointError as error:
        said = str(error)
    assert (path.name in said and len(said) < 1000) or (step == 12 and same(state, STATE))


def test_keys_that_are_gone_do_not_make_it_one_of_before(saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / saved.name)
    document = json.loads((path / "state.json").read_text())
    for key in ("version", "own_sha256"):
        (path / "state.json").write_text(json.dumps({k: v for k, v in document.items() if k != key}))
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path)


def of_before(folder, step=12):
    """A checkpoint as versions before 2 wrote it: without a hash of its own."""
    path = save_checkpoint(folder, step, STATE, keep=9)
    document = json.loads((path / "state.json").read_text())
    kept = {key: document[key] for key in ("step", "score", "sha256", "state")}
    (path / "state.json").write_text(json.dumps(kept))
    return path


def test_checkpoints_of_before_are_read(tmp_path):
    step, state = load_checkpoint(of_before(tmp_path))
    assert step == 12
    assert same(state, STATE)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_those_of_before_give_a_state_or_an_error_of_ours(tmp_path_factory, data):
    path = of_before(tmp_path_factory.mktemp("before"))
    (path / "state.json").write_text(with_another_value(json.loads((path / "state.json").read_text()), data))
    said = path.name
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        said = str(error)
    assert path.name in said


def test_another_version_is_told(saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / saved.name)
    document = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(document | {"version": 3}))
    with pytest.raises(CheckpointError, match="version 3; this library reads 2"):
        load_checkpoint(path)


def test_a_checkpoint_under_another_name_is_another_step(saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / "step-00000013")
    with pytest.raises(CheckpointError, match="of step 12, the folder of another"):
        load_checkpoint(path)


def test_a_changed_one_costs_one_checkpoint(tmp_path):
    first, second = (save_checkpoint(tmp_path, step, STATE, keep=2) for step in (3, 4))
    file = second / "state.json"
    file.write_text(file.read_text().replace("0.9", "0.8"))
    with pytest.warns(UserWarning, match=r"step-00000004.*damaged. Going back to the checkpoint before"):
        assert newest_intact(tmp_path) == first


def test_what_a_kill_left_goes(tmp_path):
    (tmp_path / ".step-00000002.tmp").mkdir()
    save_checkpoint(tmp_path, 3, STATE, keep=1)
    with pytest.raises(TypeError, match="/odd is a set"):
        save_checkpoint(tmp_path, 4, {"odd": {1}}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_damaged_score_is_not_the_best(tmp_path):
    best = save_checkpoint(tmp_path, 1, STATE, keep=1, score=0.9)
    (best / "state.json").write_text("[" * 100_000)
    for step in (2, 3):
        save_checkpoint(tmp_path, step, STATE, keep=1, score=0.1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]


def test_tensors_of_like_names_stay_apart(tmp_path):
    state = {"a/b": torch.ones(1), "a": {"b": torch.zeros(2)}, 1: torch.ones(3), "1": torch.zeros(4)}
    assert same(load_checkpoint(save_checkpoint(tmp_path, 1, state, keep=1))[1], state)


def test_a_state_that_does_not_fit_is_one_line(tmp_path):
    path = tmp_path / "step-00000001"
    message = r"step-00000001 does not fit this run \(RuntimeError"
    with pytest.raises(CheckpointError, match=message) as caught, restoring_from(path):
        torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(3, 3)})
    assert "\n" not in str(caught.value)
