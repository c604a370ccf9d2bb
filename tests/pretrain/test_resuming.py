"""Runs that are stopped, killed, damaged or finished, and taken up again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from sslhsic_transfer.errors import (
    CheckpointError,
    OutputBusyError,
    OutputExistsError,
    TrainingInterruptedError,
)
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.training.checkpoint import list_checkpoints
from sslhsic_transfer.training.run_folder import RunFolder
from tests.pretrain.conftest import figures


@pytest.mark.parametrize(
    "settings",
    [
        ("augmentation.progressive=[[1,48]]",),
        ("optimizer.name=lars", "average_decay=0.9", "precision=fp32"),
    ],
)
def test_resuming_equals_never_stopping_to_the_last_bit(settings, tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, *settings, "checkpoints_kept=9"])
    pretrain(recipe, digits, tmp_path / "whole", progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "model")
    first, *later = list_checkpoints(tmp_path / "stopped" / "checkpoints")
    for checkpoint in later:
        shutil.rmtree(checkpoint)
    assert first.name == "step-00000005"
    pretrain(recipe, digits, tmp_path / "stopped", resume=True, progress=False)
    assert figures(tmp_path / "stopped") == figures(tmp_path / "whole")
    for file in ("model/model.safetensors", "checkpoints/step-00000009/state.safetensors"):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


@pytest.fixture(scope="module")
def command(tiny_overrides, digits):
    """Return the command that a user types, without the output folder."""
    command = [sys.executable, "-m", "sslhsic_transfer.pretrain", "demo", *tiny_overrides, "epochs=4"]
    return [*command, "--data", str(digits), "--output"]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*command, str(output)], check=True, capture_output=True, timeout=300)
    return output


@pytest.mark.parametrize(
    ("number", "to_the_group"), [(signal.SIGKILL, False), (signal.SIGTERM, True), (signal.SIGINT, True)]
)
def test_stopped_and_resumed_equals_never_stopped(number, to_the_group, command, whole, tmp_path):
    """Real processes and real signals, by the commands that a user types; a terminal's reach the workers, too."""
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        [*command, str(stopped)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not list_checkpoints(stopped / "checkpoints"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if to_the_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert not (stopped / "model").exists(), "the run ended before it was stopped"
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert f"Stopped by {number.name} after step" in errors.decode()
        assert "Traceback" not in errors.decode()

    done = subprocess.run([*command, str(stopped), "--resume"], check=True, capture_output=True, timeout=300, text=True)
    assert f"Model: {stopped / 'model'}" in done.stdout
    for file in ("model/model.safetensors", "checkpoints/step-00000018/state.safetensors"):
        assert (stopped / file).read_bytes() == (whole / file).read_bytes(), file
    assert figures(stopped) == figures(whole)


def test_a_damaged_last_checkpoint_costs_one_checkpoint(run, tiny, digits, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "model")
    weights = list_checkpoints(copy / "checkpoints")[-1] / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="Going back to the checkpoint before"):
        pretrain(tiny, digits, copy, resume=True, progress=False)
    assert (copy / "model/model.safetensors").read_bytes() == (run / "model/model.safetensors").read_bytes()
    assert figures(copy) == figures(run)


def test_a_run_that_is_there_is_kept(run, tiny, digits):
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(OutputExistsError, match="--resume"):
        pretrain(tiny, digits, run, progress=False)
    other = tiny.model_copy(update={"seed": 1})
    with pytest.raises(CheckpointError, match="seed: 0 then, 1 now"):
        pretrain(other, digits, run, resume=True, progress=False)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_other_data_cannot_be_taken_up(run, tiny, digits, tmp_path):
    shutil.copytree(digits, tmp_path / "data")
    next((tmp_path / "data" / "train").rglob("*.jpg")).unlink()
    with pytest.raises(CheckpointError, match="begun on 72 pictures; data now holds 71"):
        pretrain(tiny, tmp_path / "data", run, resume=True, progress=False)


def test_other_pictures_of_the_same_number_cannot_be_taken_up(run, tiny, digits, tmp_path):
    moved = tmp_path / "elsewhere" / digits.name
    shutil.copytree(digits, moved)
    copy = shutil.copytree(run, tmp_path / "run")
    pretrain(tiny, moved, copy, resume=True, progress=False)  # the same ones in another place
    first, *_, last = sorted((moved / "train").rglob("*.jpg"))
    shutil.copy(last, first)
    with pytest.raises(CheckpointError, match=r"begun on other pictures than .*, though as many.*init_from="):
        pretrain(tiny, moved, copy, resume=True, progress=False)
    state = list_checkpoints(copy / "checkpoints")[-1] / "state.json"
    document = json.loads(state.read_text())
    document["state"]["dict"] = [pair for pair in document["state"]["dict"] if pair[0] != "pictures_sha256"]
    state.write_text(json.dumps({key: document[key] for key in ("step", "score", "sha256", "state")}))
    pretrain(tiny, moved, copy, resume=True, progress=False)  # a checkpoint of before does not tell


def test_a_folder_without_its_recipe_is_not_taken_up(run, tiny, digits, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "recipe.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"holds checkpoints, but no recipe\.yaml"):
        pretrain(tiny, digits, copy, resume=True, progress=False)
    with pytest.raises(OutputExistsError, match="already holds a run"):
        pretrain(tiny, digits, copy, progress=False)


def test_two_runs_in_one_folder_are_refused_at_once(run, tiny, digits):
    with RunFolder(run).locked(), pytest.raises(OutputBusyError, match="Another process is writing"):
        pretrain(tiny, digits, run, resume=True, progress=False)
    assert not (run / ".lock").exists()


def test_resuming_a_finished_run_changes_nothing(run, tiny, digits):
    before = (run / "model" / "model.safetensors").read_bytes(), figures(run)
    pretrain(tiny, digits, run, resume=True, progress=False)
    assert ((run / "model" / "model.safetensors").read_bytes(), figures(run)) == before


def test_resuming_a_finished_run_keeps_what_publishing_added(run, tiny, digits, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    config = copy / "model/config.json"
    values = json.loads(config.read_text())
    listed = {"fp32": {"file": "onnx/model.onnx", "sha256": "0" * 64, "size": 1}}
    config.write_text(json.dumps(values | {"metadata": values["metadata"] | {"licence": "mit"}, "onnx": listed}))
    pretrain(tiny, digits, copy, resume=True, progress=False)
    resumed = json.loads(config.read_text())
    assert (resumed["metadata"]["licence"], resumed["onnx"]) == ("mit", listed)
    config.write_text("not JSON")
    pretrain(tiny, digits, copy, resume=True, progress=False)
    assert json.loads(config.read_text())["metadata"] == values["metadata"]


def test_a_signal_while_an_epoch_ends_costs_the_best_checkpoint_nothing(tiny_overrides, digits, tmp_path, monkeypatch):
    evaluate = OnlineEvaluation.__call__

    def signalled(self, *arguments):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(self, *arguments)

    monkeypatch.setattr(OnlineEvaluation, "__call__", signalled)
    with pytest.raises(TrainingInterruptedError, match="All is saved"):
        pretrain(load_recipe("demo", tiny_overrides), digits, tmp_path / "run", progress=False)
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert json.loads((checkpoint / "state.json").read_text())["score"] is not None


def test_a_resumed_run_computes_on_as_many_threads_as_before(run, tiny, digits, tmp_path, monkeypatch):
    """Threads are chosen by the load of the moment, and the last bits depend on their number."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    copy, before = tmp_path / "run", torch.get_num_threads()
    shutil.copytree(run, copy)
    torch.set_num_threads(before + 1)
    try:
        pretrain(tiny, digits, copy, resume=True, progress=False)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
