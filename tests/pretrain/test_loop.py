import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import (
    CheckpointError,
    DataError,
    OutputExistsError,
    TrainingError,
    TrainingInterruptedError,
)
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.checkpoint import list_checkpoints
from sslhsic_transfer.pretrain.monitors.health import CollapseGuard
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.results import load_results


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    """A finished run: 72 pictures, batches of 16, two epochs, nine steps."""
    output = tmp_path_factory.mktemp("run") / "run"
    pretrain(tiny, digits, output, progress=False)
    return output


def figures(output):
    """metrics.jsonl without what depends on the machine."""
    records = RunFolder(output).read_metrics()
    machine = {"images_per_second", "hours_left", "memory_gib"}
    return [{key: value for key, value in record.items() if key not in machine} for record in records]


def test_ends_with_a_model_that_loads_by_its_folder(run, tiny, digits):
    encoder = from_pretrained(run / "model")
    assert encoder.config == tiny.encoder
    assert encoder.preprocessing == tiny.encoder_preprocessing
    assert encoder.metadata["data"] == digits.name
    assert encoder.metadata["pictures"] == 72
    assert encoder.metadata["epochs"] == 2
    assert encoder.metadata["processes"] == 1
    assert load_recipe(run / "recipe.yaml") == tiny


def test_logs_every_step_and_evaluates_every_epoch(run):
    records = RunFolder(run).read_metrics()
    steps = [record for record in records if "loss" in record]
    assert [record["step"] for record in steps] == list(range(1, 10))
    for record in steps:
        assert set(record) >= {"hsic_zy", "hsic_zz", "kernel_scale", "learning_rate", "epoch", "embedding_std"}
        assert record["images_per_second"] > 0
        assert record["gradient_norm"] > 0
        assert 0.05 < record["memory_gib"] < 64
        expected = -record["hsic_zy"] + 3 * math.sqrt(max(record["hsic_zz"], 1e-12))
        assert record["loss"] == pytest.approx(expected, abs=1e-5)
    assert steps[0]["learning_rate"] == 0
    assert steps[0]["kernel_scale"] == 1
    assert steps[-1]["kernel_scale"] != 1
    assert steps[-1]["hours_left"] == 0 < steps[0]["hours_left"]
    watched = [record for record in records if "knn" in record]
    assert [record["step"] for record in watched] == [5, 9]
    for record in watched:
        assert 0 <= record["knn"] <= 1
        assert 0 <= record["linear"] <= 1
        assert 1 <= record["rankme"] <= 72


def test_the_model_folder_tells_how_it_came_about(run):
    model = run / "model"
    assert {path.name for path in model.iterdir()} >= {"config.json", "model.safetensors", "results.json", "curves.png"}
    assert (model / "recipe.yaml").read_text() == (run / "recipe.yaml").read_text()
    assert (model / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()
    last = RunFolder(run).read_metrics()[-1]
    results = {result.task: result for result in load_results(model / "results.json")}
    assert set(results) == {"knn", "linear", "rankme"}
    for task, result in results.items():
        assert result.value == last[task]
        assert result.n == 72
        assert result.split == "train"
        assert result.weights_sha256 == sha256_of_file(model / "model.safetensors")


def test_tensorboard_has_the_same_scalars(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "logs"))
    events.Reload()
    expected = [record["loss"] for record in RunFolder(run).read_metrics() if "loss" in record]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(expected)


def test_weights_have_moved_and_the_target_has_followed(run, tiny):
    from sslhsic_transfer.pretrain.checkpoint import load_checkpoint

    step, state = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    assert step == 9
    learner = state["trainer"]["learner"]
    name = "encoder.layer1.0.conv1.weight"
    assert not torch.equal(learner[f"online.{name}"], learner[f"target.{name}"])
    torch.testing.assert_close(from_pretrained(run / "model").layer1[0].conv1.weight, learner[f"online.{name}"])


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
    """What a user types, but for the output."""
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


def test_plain_folders_serve_and_are_watched_without_labels(tiny, digits, tmp_path):
    (tmp_path / "pictures").mkdir()
    for path in (digits / "train").rglob("*.jpg"):
        shutil.copy(path, tmp_path / "pictures" / f"{path.parent.name}-{path.name}")
    pretrain(tiny.model_copy(update={"epochs": 1}), tmp_path / "pictures", tmp_path / "run", progress=False)
    records = RunFolder(tmp_path / "run").read_metrics()
    assert any("rankme" in record for record in records)
    assert not any("knn" in record or "linear" in record for record in records)


def test_the_objective_without_target_trains_too(tiny, digits, tmp_path):
    recipe = tiny.model_copy(update={"objective": "ssl-hsic-no-target", "epochs": 1})
    pretrain(recipe, digits, tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("settings", [(), ("micro_batch_size=4",)])
def test_a_compiled_step_is_the_same_step(settings, tiny_overrides, digits, tmp_path, monkeypatch):
    """By the eager backend, which traces as every backend does and takes seconds; the slow test compiles in earnest."""
    settings = [*tiny_overrides, *settings, "precision=fp32", "epochs=1", "monitor.evaluate_every=0"]
    pretrain(load_recipe("demo", settings), digits, tmp_path / "plain", progress=False)
    traced = []
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: traced.append(model) or compiler(model, backend="eager"))
    pretrain(load_recipe("demo", [*settings, "compile=true"]), digits, tmp_path / "compiled", progress=False)
    assert traced
    plain, compiled = (RunFolder(tmp_path / name).read_metrics() for name in ("plain", "compiled"))
    assert [record["loss"] for record in compiled] == pytest.approx([record["loss"] for record in plain], rel=1e-3)


@pytest.mark.slow
def test_a_compiled_run_trains(tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, "compile=true", "epochs=1"])
    assert from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))


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


def test_fewer_pictures_than_a_batch_say_what_to_set(tiny, digits, tmp_path):
    with pytest.raises(DataError, match=r"8 pictures, fewer than a batch of 16: set batch_size=8 or less"):
        pretrain(tiny, digits / "test" / "0", tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_with_the_reason(tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, "optimizer.name=sgd", "optimizer.learning_rate=1e30", "epochs=3"])
    with pytest.raises(TrainingError, match=r"optimizer\.learning_rate .* no checkpoint yet"):
        pretrain(recipe, digits, tmp_path / "run", progress=False)
    assert all(
        math.isfinite(json.loads(line)["loss"])
        for line in (tmp_path / "run/metrics.jsonl").read_text().split("\n")
        if '"loss"' in line
    )


def test_a_collapse_stops_the_run_and_keeps_the_last_good_state(tiny_overrides, digits, tmp_path):
    """So large a weight of √HSIC(Z, Z) rewards embeddings that are all the same."""
    settings = ["loss.gamma=1000", "epochs=30", "optimizer.learning_rate=0.05", "monitor.collapse_std=0.3"]
    settings += ["monitor.collapse_patience=6", "monitor.evaluate_every=0"]
    recipe = load_recipe("demo", [*tiny_overrides, *settings])
    with pytest.raises(TrainingError, match=r"collapsed: in each of the last 6 .* loss\.gamma too large") as caught:
        pretrain(recipe, digits, tmp_path / "run", progress=False)
    stds = [record["embedding_std"] for record in RunFolder(tmp_path / "run").read_metrics()]
    assert max(stds[-6:]) < 0.3 <= stds[-7]
    good = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert stds[int(good.name.removeprefix("step-")) - 1] >= 0.3
    assert f"init_from={good}" in str(caught.value)
    again = load_recipe("demo", [*tiny_overrides, "epochs=1", f"init_from={good}"])
    assert from_pretrained(pretrain(again, digits, tmp_path / "again", progress=False))


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


def test_a_stop_does_not_save_what_looks_collapsed(tiny_overrides, digits, tmp_path, monkeypatch):
    settings = ["epochs=30", "monitor.collapse_std=0.3", "monitor.collapse_patience=6", "monitor.evaluate_every=0"]
    settings += ["loss.gamma=1000", "optimizer.learning_rate=0.05"]
    observe = CollapseGuard.observe

    def stopped(self, std):
        collapsed = observe(self, std)
        if self.suspicious:
            signal.raise_signal(signal.SIGINT)
        return collapsed

    monkeypatch.setattr(CollapseGuard, "observe", stopped)
    recipe = load_recipe("demo", [*tiny_overrides, *settings])
    with pytest.raises(
        TrainingInterruptedError, match=r"look collapsed, so the state of step \d+ is the last that is saved"
    ) as stop:
        pretrain(recipe, digits, tmp_path / "run", progress=False)
    stds = [record["embedding_std"] for record in RunFolder(tmp_path / "run").read_metrics()]
    assert stds[-1] < 0.3
    good = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert f"step {int(good.name.removeprefix('step-'))} is" in str(stop.value)
    assert stds[int(good.name.removeprefix("step-")) - 1] >= 0.3


@pytest.mark.filterwarnings("ignore:.*cannot be read and is replaced")
def test_damaged_pictures_disturb_neither_training_nor_knn(tiny_overrides, digits, tmp_path):
    shutil.copytree(digits, tmp_path / "data")
    first, second, *_ = sorted((tmp_path / "data" / "train").rglob("*.jpg"))
    first.write_bytes(first.read_bytes()[:200])
    second.write_bytes(b"no picture")
    recipe = load_recipe("demo", [*tiny_overrides, "max_damaged=0.1"])
    assert from_pretrained(pretrain(recipe, tmp_path / "data", tmp_path / "run", progress=False))
    assert len((tmp_path / "run" / "damaged.jsonl").read_text().splitlines()) == 2
    assert any("knn" in record for record in RunFolder(tmp_path / "run").read_metrics())
