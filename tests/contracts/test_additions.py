"""ARCHITECTURE.md is right about additions: one file and one row take an example through every public door."""

import numpy as np
import pytest
import torch

from sslhsic_transfer import Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer.adapters.torchvision import faster_rcnn
from sslhsic_transfer.models.config import FAMILIES, Family
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.frameworks import FRAMEWORKS, FrameworkRow
from sslhsic_transfer.transfer.tasks import TASKS, TaskRow

HERE = "tests.contracts.additions"
QUICK = ("workers=0", "iterations=3", "warmup=1", "batch_size=4")


@pytest.fixture
def brightness(monkeypatch):
    row = TaskRow(f"{HERE}.brightness", "BrightnessTask", networks="torchvision", summary="Fine-tune.", example="…")
    monkeypatch.setitem(TASKS, "brightness", row)


def test_a_family_of_backbones(monkeypatch, tmp_path, digits):
    monkeypatch.setitem(FAMILIES, "patches", Family("patches", f"{HERE}.patches", f"{HERE}.patches"))
    encoder = create_encoder("patches_tiny", preprocessing=Preprocessing.for_size(64)).eval()
    loaded = from_pretrained(encoder.save_pretrained(tmp_path / "model"))
    images = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(loaded(images), encoder(images))
    assert loaded.feature_maps(images)["c3"].shape == (2, 16, 8, 12)
    assert loaded.embed(sorted((digits / "test").rglob("*.*"))[:3]).shape == (3, 64)
    detector = faster_rcnn(loaded, 2, freeze_at=1, min_size=64, max_size=96).eval()
    assert "boxes" in detector([images[0].sigmoid()])[0]
    results = transfer(
        "classification", tmp_path / "model", digits, tmp_path / "run", overrides=(*QUICK, "test=test"), progress=False
    )
    assert results[0].metric == "top-1"


def test_a_task_of_transfer(brightness, model_folder, digits, tmp_path):
    settings = (*QUICK, "test=test")
    results = transfer("brightness", model_folder, digits, tmp_path / "run", overrides=settings, progress=False)
    assert [(result.task, result.metric, result.framework) for result in results] == [
        ("brightness", "error", "torchvision")
    ]
    model = load_transferred(tmp_path / "run" / "model", "cpu")
    assert model.predict(np.zeros((64, 64, 3), dtype=np.uint8)).shape == (1,)


def test_a_framework_for_a_task(brightness, monkeypatch, model_folder, digits, tmp_path):
    monkeypatch.setitem(FRAMEWORKS, "one-step", FrameworkRow(f"{HERE}.one_step", "OneStep", tasks=("brightness",)))
    options = {"framework": "one-step", "overrides": (*QUICK, "test=test"), "progress": False}
    (result,) = transfer("brightness", model_folder, digits, tmp_path / "run", **options)
    assert (result.framework, result.n) == ("one-step", 24)
    assert load_transferred(tmp_path / "run" / "model", "cpu").evaluate(
        load_transferred(tmp_path / "run" / "model", "cpu").task.find(digits, "test", None)
    )["error"] == pytest.approx(result.value)
