"""A run from its first step to its model folder; what stops it: see test_resuming.py."""

import json
import math
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import (
    DataError,
    TrainingError,
    TrainingInterruptedError,
)
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.monitors.health import CollapseGuard
from sslhsic_transfer.results import load_results
from sslhsic_transfer.training.checkpoint import list_checkpoints
from sslhsic_transfer.training.run_folder import RunFolder


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


def test_each_logged_figure_is_explained_in_the_guide(run):
    watching = (Path(__file__).parents[2] / "docs/pretraining.md").read_text(encoding="utf-8").split("## Watching")[1]
    rows = re.findall(r"^\| (`.*?) \|", watching.split("\n## ")[0], re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    logged = {name for record in RunFolder(run).read_metrics() for name in record}
    assert logged - {"step", "epoch"} == explained


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


def test_a_trial_makes_as_many_steps_as_asked_for(tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", (*tiny_overrides, "steps=3", "epochs=500"))
    encoder = from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))
    assert [record["step"] for record in RunFolder(tmp_path / "run").read_metrics() if "loss" in record] == [1, 2, 3]
    assert (encoder.metadata["steps"], encoder.metadata["epochs"]) == (3, round(3 * 16 / 72, 4))


def test_weights_have_moved_and_the_target_has_followed(run, tiny):
    from sslhsic_transfer.training.checkpoint import load_checkpoint

    step, state = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    assert step == 9
    learner = state["trainer"]["learner"]
    name = "encoder.layer1.0.conv1.weight"
    assert not torch.equal(learner[f"online.{name}"], learner[f"target.{name}"])
    torch.testing.assert_close(from_pretrained(run / "model").layer1[0].conv1.weight, learner[f"online.{name}"])


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
    monkeypatch.setattr(torch, "compile", lambda part, **_: traced.append(part) or compiler(part, backend="eager"))
    pretrain(load_recipe("demo", [*settings, "compile=true"]), digits, tmp_path / "compiled", progress=False)
    assert len(traced) >= 2, "the colors, and at least the online network"
    plain, compiled = (RunFolder(tmp_path / name).read_metrics() for name in ("plain", "compiled"))
    assert [record["loss"] for record in compiled] == pytest.approx([record["loss"] for record in plain], rel=1e-3)


@pytest.mark.slow
def test_a_compiled_run_trains(tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, "compile=true", "epochs=1"])
    assert from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))


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


@pytest.mark.parametrize("stopped", [False, True])
def test_what_looks_collapsed_is_saved_at_the_end_or_where_there_is_nothing_else(
    stopped, tiny, digits, tmp_path, monkeypatch
):
    def observe(self, std):
        if stopped:
            signal.raise_signal(signal.SIGINT)
        return False

    monkeypatch.setattr(CollapseGuard, "suspicious", True)
    monkeypatch.setattr(CollapseGuard, "observe", observe)
    if stopped:
        with pytest.raises(TrainingInterruptedError, match=r"after step 1 of 9\. All is saved"):
            pretrain(tiny, digits, tmp_path / "run", progress=False)
    else:
        pretrain(tiny, digits, tmp_path / "run", progress=False)
    saved = [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")]
    assert saved == ["step-00000001" if stopped else "step-00000009"]


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


@pytest.mark.filterwarnings("ignore:.*cannot be read and is replaced")
def test_a_run_that_met_too_many_damaged_pictures_goes_on_once_they_are_mended(tiny_overrides, digits, tmp_path):
    shutil.copytree(digits, tmp_path / "data")
    damaged = sorted((tmp_path / "data" / "train").rglob("*.jpg"))[::6]
    contents = [path.read_bytes() for path in damaged]
    for path in damaged:
        path.write_bytes(b"no picture")
    recipe = load_recipe("demo", [*tiny_overrides, "max_damaged=0.1", "workers=0"])
    with pytest.raises(DataError, match=r"more than max_damaged=0\.1 allows.* Mend them .*, and resume"):
        pretrain(recipe, tmp_path / "data", tmp_path / "run", progress=False)
    for path, content in zip(damaged, contents, strict=True):
        path.write_bytes(content)
    assert from_pretrained(pretrain(recipe, tmp_path / "data", tmp_path / "run", resume=True, progress=False))
    assert RunFolder(tmp_path / "run").read_metrics()[-1]["step"] == 9


def test_labels_change_nothing_that_is_trained(tiny_overrides, digits, tmp_path):
    recipe = load_recipe("demo", [*tiny_overrides, "epochs=1", "optimizer.warmup_epochs=0", "workers=0"])
    (tmp_path / "plain").mkdir()
    for path in sorted((digits / "train").rglob("*.jpg")):
        shutil.copy(path, tmp_path / "plain" / f"{path.parent.name}-{path.name}")  # in the same order
    weights = []
    for name, data in (("labelled", digits / "train"), ("unlabelled", tmp_path / "plain")):
        model = pretrain(recipe, data, tmp_path / name, progress=False)
        weights.append((model / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
