import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ImageError,
    ModelNotFoundError,
    OutputExistsError,
    WeightsError,
)
from sslhsic_transfer.pretrain.monitors.plot import read_records
from sslhsic_transfer.results import load_results
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.frameworks.detectron2 import _own_settings
from sslhsic_transfer.transfer.tasks.detection import DetectionSettings
from tests.dense_data import SIZE, depth_lists, detection_coco, mask_of, scene, segmentation_lists

QUICK = ("workers=0", "warmup=3", "log_every=5")
SEGMENTATION = (*QUICK, "iterations=20", "batch_size=4", "crop=[48,64]", "scale=[0.8,1.25]", "learning_rate=1e-3")


def logged_steps(run):
    """Return the steps of the training curve that `sslhsic plot` would draw; check that losses fall."""
    records = read_records(run)
    assert 0 < records[-1]["loss"] < records[0]["loss"]
    return [record["step"] for record in records]


@pytest.fixture(scope="module")
def segmented(model_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("segmentation")
    data = segmentation_lists(place / "scenes")
    results = transfer("segmentation", model_folder, data, place / "run", overrides=SEGMENTATION, progress=False)
    return place, results


def test_segmentation_learns_and_is_told_of(segmented, model_folder):
    place, results = segmented
    assert [result.metric for result in results] == ["mIoU", "pixel accuracy"]
    miou = results[0]
    assert miou.value > 0.6, "all ground: 0.45"
    assert miou.weights_sha256 == from_pretrained(model_folder).weights_sha256
    assert (miou.dataset, miou.split, miou.framework, miou.n, miou.seeds) == ("scenes", "val", "torchvision", 4, [0])
    assert "torchvision, resnet18" in miou.protocol
    assert "crop (48, 64)" in miou.protocol
    assert load_results(place / "run" / "results.json") == results
    assert json.loads((place / "run" / "evaluation.json").read_text())["IoU square"] > 0.5
    with Image.open(place / "run" / "predictions.png") as sheet:
        assert sheet.size == (3 * SIZE[0] + 8, 4 * SIZE[1] + 12)


def test_what_was_trained_loads_and_sees(segmented):
    place, _ = segmented
    model = load_transferred(place / "run" / "model")
    picture, box = scene(101)
    found = model.predict(picture)
    assert (found.dtype, found.shape) == (np.uint8, SIZE[::-1])
    assert (found == mask_of(box)).mean() > 0.85
    assert np.array_equal(found, model.predict(place / "scenes" / "val" / "101.png"))
    assert model.config.classes == ("ground", "square")
    assert not model.network.training


def test_a_run_is_not_overwritten_nor_taken_up_with_other_settings(segmented, model_folder):
    place, results = segmented
    arguments = ("segmentation", model_folder, place / "scenes", place / "run")
    with pytest.raises(OutputExistsError, match="go on with it by --resume"):
        transfer(*arguments, overrides=SEGMENTATION, progress=False)
    with pytest.raises(CheckpointError, match=r"settings\.iterations: 20 then, 30 now"):
        transfer(*arguments, overrides=(*SEGMENTATION, "iterations=30"), resume=True, progress=False)
    again = transfer(*arguments, overrides=SEGMENTATION, resume=True, progress=False)
    assert [result.value for result in again] == [result.value for result in results]


def test_other_data_are_another_run(segmented, model_folder, tmp_path):
    place, _ = segmented
    data = segmentation_lists(tmp_path / "scenes", train=9)
    with pytest.raises(
        CheckpointError, match=r"data: 'scenes, train: 8 pictures' then, 'scenes, train: 9 pictures' now"
    ):
        transfer("segmentation", model_folder, data, place / "run", overrides=SEGMENTATION, resume=True, progress=False)


def test_splits_of_different_classes_are_refused(model_folder, tmp_path):
    data = detection_coco(tmp_path / "scenes")
    path = data / "annotations" / "instances_val.json"
    path.write_text(path.read_text().replace('"square"', '"circle"'))
    with pytest.raises(DataError, match=r"train has 1 classes, val 1, 2 in one of them only: circle, square"):
        transfer("detection", model_folder, data, tmp_path / "run", progress=False)


def test_a_picture_in_any_form_is_predicted_alike(segmented):
    model = load_transferred(segmented[0] / "run" / "model")
    picture = scene(101)[0]
    expected = model.predict(picture)
    assert (model.predict(np.asarray(picture)) == expected).all()
    with pytest.raises(ImageError, match="Got a picture of type list; expected a path, PIL image, array or tensor"):
        model.predict([picture])
    assert repr(model).startswith("TransferredModel(segmentation by torchvision, resnet18, ")


def test_damaged_models_are_refused(segmented, tmp_path):
    place, _ = segmented
    with pytest.raises(ModelNotFoundError, match=r"No transfer\.json"):
        load_transferred(tmp_path)
    (tmp_path / "transfer.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_transferred(tmp_path)
    config = json.loads((place / "run" / "model" / "transfer.json").read_text())
    (tmp_path / "transfer.json").write_text(json.dumps(config | {"classes": ["one", "two", "three"]}))
    (tmp_path / "model.safetensors").write_bytes((place / "run" / "model" / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"does not fit its transfer\.json:\n  2 of another shape: .* instead of "):
        load_transferred(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"No model\.safetensors"):
        load_transferred(tmp_path)


def test_detection(model_folder, tmp_path):
    data = detection_coco(tmp_path / "scenes", train=16)
    settings = (*QUICK, "iterations=25", "batch_size=4", "sides=[64]", "proposals=50", "sampled_regions=32")
    results = transfer("detection", model_folder, data, tmp_path / "run", overrides=settings, progress=False)
    assert [result.metric for result in results] == ["AP", "AP50", "AP75"]
    assert results[1].value > 0.5, "AP50"
    found = load_transferred(tmp_path / "run" / "model").predict(scene(101)[0])
    best = found.boxes[found.scores.argmax()]
    assert np.abs(best - scene(101)[1]).max() < 10
    assert (tmp_path / "run" / "predictions.png").is_file()


def test_segmentation_by_mmseg(model_folder, tmp_path):
    data = segmentation_lists(tmp_path / "scenes")
    arguments = ("segmentation", model_folder, data, tmp_path / "run")
    options = {"framework": "mmseg", "progress": False}
    results = transfer(*arguments, overrides=SEGMENTATION, **options)
    assert results[0].value > 0.6, "mIoU; all ground: 0.45"
    assert results[0].protocol.startswith("mmseg, resnet18")
    model = load_transferred(tmp_path / "run" / "model")
    picture, box = scene(101)
    assert (model.predict(picture) == mask_of(box)).mean() > 0.85
    assert type(model.network).__name__ == "EncoderDecoder"
    assert logged_steps(tmp_path / "run") == [2, 5, 10, 15, 20]  # mmengine logs the end of an epoch, too
    again = transfer(*arguments, overrides=SEGMENTATION, resume=True, **options)
    assert again[0].value == results[0].value
    for odd, found in (("network=deeplabv3", "mmseg has no deeplabv3"), ("nesterov=true", "momentum is 0.9, not")):
        with pytest.raises(ConfigError, match=found):
            transfer("segmentation", model_folder, data, tmp_path / odd, overrides=(*SEGMENTATION, odd), **options)


def test_settings_reach_the_other_frameworks(model_folder, tmp_path, monkeypatch):
    def note(data, validation, output, **options):
        seen.update(options)
        raise KeyboardInterrupt

    seen = {}
    wanted = {"clip_gradient": 3.0, "weight_decay": 0.2, "freeze_at": 2, "norm_eval": True, "warmup": 4, "seed": 5}
    monkeypatch.setattr("sslhsic_transfer.adapters.mmseg.fine_tune", note)
    options = {"framework": "mmseg", "overrides": [f"{k}={v}" for k, v in wanted.items()], "progress": False}
    with pytest.raises(KeyboardInterrupt):
        transfer("segmentation", model_folder, segmentation_lists(tmp_path / "a"), tmp_path / "run", **options)
    assert {name: seen[name] for name in wanted} == wanted
    found = _own_settings(DetectionSettings(iterations=1000, weight_decay=0.2, warmup=4))
    assert [found[f"SOLVER.WEIGHT_DECAY{part}"] for part in ("", "_BIAS", "_NORM")] == [0.2, 0, 0]
    assert (found["SOLVER.STEPS"], found["SOLVER.WARMUP_FACTOR"]) == ((700, 900), 1 / 5)
    assert (found["SOLVER.CLIP_GRADIENTS.ENABLED"], found["SOLVER.CLIP_GRADIENTS.CLIP_VALUE"]) == (True, 10)


def test_detection_by_detectron2(model_folder, tmp_path):
    data = detection_coco(tmp_path / "scenes", train=16)
    settings = (*QUICK, "iterations=25", "batch_size=4", "sides=[64]", "proposals=50", "sampled_regions=32")
    options = {"framework": "detectron2", "progress": False}
    results = transfer("detection", model_folder, data, tmp_path / "run", overrides=settings, **options)
    assert [result.metric for result in results] == ["AP", "AP50", "AP75"]
    assert results[1].value > 0.5, "AP50"
    found = load_transferred(tmp_path / "run" / "model").predict(scene(101)[0])
    assert np.abs(found.boxes[found.scores.argmax()] - scene(101)[1]).max() < 10
    assert logged_steps(tmp_path / "run") == [20, 25]
    with pytest.raises(ConfigError, match="the schedule is cosine or steps"):
        transfer("detection", model_folder, data, tmp_path / "odd", overrides=(*settings, "schedule=poly"), **options)


@pytest.mark.parametrize("network", ["dpt", "upproj"])
def test_depth(model_folder, tmp_path, network):
    data = depth_lists(tmp_path / "scenes")
    settings = (*QUICK, "iterations=20", "batch_size=4", "crop=[64,64]", "resize=64")
    settings = (*settings, f"network={network}", "protocol.cap=5")
    results = transfer("depth", model_folder, data, tmp_path / "run", overrides=settings, progress=False)
    figures = {result.metric: result.value for result in results}
    assert set(figures) == {"abs_rel", "rmse", "delta1"}
    assert figures["delta1"] > 0.6
    assert "0.001–5 m" in results[0].protocol
    assert load_transferred(tmp_path / "run" / "model").predict(scene(101)[0]).shape == SIZE[::-1]


@pytest.mark.parametrize("framework", ["torchvision", "detectron2"])
def test_detection_on_real_pictures(model_folder, blood_cells, tmp_path, framework):
    settings = ("workers=0", "iterations=2", "warmup=1", "batch_size=2", "sides=[96]", "proposals=20")
    options = {"framework": framework, "overrides": (*settings, "sampled_regions=16"), "progress": False}
    results = transfer("detection", model_folder, blood_cells, tmp_path / "run", **options)
    assert [(result.metric, result.dataset, result.n) for result in results] == [
        (metric, "bccd", 4) for metric in ("AP", "AP50", "AP75")
    ]
    assert load_transferred(tmp_path / "run" / "model").config.classes == ("Platelets", "RBC", "WBC")


@pytest.mark.parametrize(("task", "framework"), [("segmentation", "mmseg"), ("detection", "detectron2")])
def test_frameworks_with_a_launcher_of_their_own_refuse_accelerates(
    task, framework, model_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=rf"Got 2 processes; by {framework} this command trains in one"):
        transfer(task, model_folder, tmp_path, tmp_path / "run", framework=framework, progress=False)
    assert not (tmp_path / "run").exists()


def test_data_of_other_classes_are_not_measured(segmented):
    place, _ = segmented
    model = load_transferred(place / "run" / "model")
    data = dataclasses.replace(find_segmentation(place / "scenes", "val"), classes=("square", "ground"))
    for use in (model.evaluate, model.draw):
        with pytest.raises(DataError, match=r"\('square', 'ground'\); the model knows \('ground', 'square'\)"):
            use(data)


def test_depth_that_was_not_measured_can_be_drawn(model_folder, tmp_path):
    data = depth_lists(tmp_path / "scenes", val=1)
    (line,) = (data / "val.txt").read_text().splitlines()
    depth = data / line.split()[1]
    with Image.open(depth) as picture:
        empty = Image.fromarray(np.zeros_like(np.asarray(picture)))
    empty.save(depth)
    settings = (*QUICK, "iterations=2", "warmup=1", "batch_size=2", "crop=[64,64]", "resize=64")
    model_of = tmp_path / "run"
    transfer("depth", model_folder, depth_lists(tmp_path / "others"), model_of, overrides=settings, progress=False)
    model = load_transferred(model_of / "model")
    assert model.draw(find_depth(data, "val")).width > 100


@pytest.mark.parametrize(
    ("task", "framework", "overrides", "found"),
    [
        ("semseg", None, (), r"Unknown task 'semseg'; expected classification, segmentation, detection, depth"),
        ("depth", "mmseg", (), r"mmseg does no depth here; expected depth"),
        ("segmentation", None, ("iterations=0", "foo=1"), r"(?s)iterations: .*foo: no such setting"),
        ("segmentation", None, ("iterations=10", "warmup=10"), r"warmup is 10; expected fewer than iterations"),
        ("segmentation", None, ("network=upernet",), r"torchvision has no upernet"),
    ],
)
def test_settings_that_cannot_be_used(model_folder, tmp_path, task, framework, overrides, found):
    data = segmentation_lists(tmp_path / "scenes")
    options = {"framework": framework, "overrides": overrides, "progress": False}
    with pytest.raises(ConfigError, match=found):
        transfer(task, model_folder, data, tmp_path / "run", **options)
