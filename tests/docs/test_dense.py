"""The examples of the guide to dense tasks, run as a reader would paste them."""

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from sslhsic_transfer.hub.publishing.examples import python_examples
from tests.dense_data import scene, segmentation_lists

DOCS = Path(__file__).parents[2] / "docs"


def examples(name: str) -> list[str]:
    return python_examples((DOCS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", [1, 2, 6])
def test_dense(number, model_folder):
    names = {
        "images": torch.rand(2, 3, 64, 96),
        "pictures": list(torch.rand(2, 3, 64, 96)),
        "targets": [{"boxes": torch.tensor([[8.0, 8.0, 50.0, 60.0]]), "labels": torch.tensor([1])}] * 2,
        "depth": torch.rand(2, 1, 64, 96) * 5 + 1,
        "valid": torch.rand(2, 1, 64, 96) > 0.2,
    }
    exec(examples("dense.md")[number].replace("org/name", model_folder.as_posix()), names)
    losses = [names["losses"]["loss_classifier"]] if "losses" in names else [names["loss"]] if "loss" in names else []
    assert all(loss.isfinite() and loss.requires_grad for loss in losses)
    if "scores" in names:
        assert names["scores"].shape == (2, 32, 64, 96)
    if "backbone" in names:
        assert {stage: tuple(level.shape[-2:]) for stage, level in names["maps"].items()} == {
            "c2": (16, 24),
            "c5": (8, 12),
        }


def test_dense_in_a_config_of_mmseg(model_folder):
    names = {}
    exec(examples("dense.md")[3].replace("org/name", model_folder.as_posix()), names)
    (module,) = names["custom_imports"]["imports"]
    importlib.import_module(module)
    from mmseg.registry import MODELS

    backbone = MODELS.build(names["backbone"]).eval()
    assert [level.shape[-1] for level in backbone(torch.rand(1, 3, 64, 64))] == [16, 8, 4, 4]


def test_dense_fine_tuning_by_mmseg(model_folder, tmp_path, monkeypatch):
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / "data/camvid" / folder / split).mkdir(parents=True)
            picture = Image.new("L" if folder == "masks" else "RGB", (48, 40))
            picture.save(tmp_path / "data/camvid" / folder / split / "a.png")
    (tmp_path / "data/camvid/classes.txt").write_text("road\nsky\n")
    picture.convert("RGB").save(tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    text = examples("dense.md")[4].replace("org/name", model_folder.as_posix()).replace("(360, 360)", "(64, 64)")
    names = {}
    exec(text.replace("iterations=2000", "iterations=1, batch_size=2, workers=0"), names)
    assert names["classes"].shape == (40, 48)
    assert names["scores"].matrix.sum() == 40 * 48


def test_detectron2(model_folder, blood_cells, tmp_path, monkeypatch):
    """The same lines on a few pictures, for one step."""
    from sslhsic_transfer.data.labelled import detection

    code = examples("dense.md")[5].replace('"org/name"', repr(str(model_folder)))
    code = code.replace(
        "sides=(480, 512), iterations=2000", "sides=(64,), longest_side=96, iterations=1, batch_size=2, workers=0"
    )
    picture = sorted((blood_cells / "VOC2007/JPEGImages").iterdir())[0]
    code = code.replace('"picture.jpg"', repr(str(picture))).replace('"runs/cells"', repr(str(tmp_path / "run")))
    assert "iterations=1," in code

    def few(root, split):
        data = find(blood_cells, split)
        return dataclasses.replace(data, pictures=data.pictures[:2])

    find = detection.find_detection
    monkeypatch.setattr(detection, "find_detection", few)
    names = {}
    exec(code, names)
    assert len(names["found"].boxes) == len(names["found"].scores) == len(names["found"].labels)


def test_transfer(model_folder, tmp_path, monkeypatch):
    segmentation_lists(tmp_path / "data/camvid")
    scene(1)[0].save(tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    code = examples("dense.md")[0].replace("org/name", model_folder.as_posix())
    names = {}
    exec(code.replace('"iterations=2000"', '"iterations=2", "warmup=1", "workers=0", "crop=[64,64]"'), names)
    assert names["results"][0].metric == "mIoU"
    assert names["classes"].shape == (60, 80)


def test_dense_as_onnx(tmp_path, monkeypatch):
    from sslhsic_transfer import Preprocessing
    from sslhsic_transfer.adapters.onnx import DenseNetwork, export_dense

    monkeypatch.chdir(tmp_path)
    network = torch.nn.Conv2d(3, 32, 3, padding=1)
    dense = DenseNetwork(network, "segmentation", "torchvision", "fcn", "camvid", Preprocessing(), resize=64)
    export_dense(dense, "camvid.onnx")
    scene(1)[0].save("street.jpg")
    names = {"images": torch.rand(2, 3, 64, 96).numpy()}
    exec(examples("dense.md")[7], names)
    assert names["classes"].shape == (60, 80)
    assert names["logits"].shape == (2, 32, 64, 96)


def test_dense_has_no_other_examples():
    assert len(examples("dense.md")) == 8
