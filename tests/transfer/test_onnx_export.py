import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import sslhsic_transfer.adapters.mmseg  # noqa: F401 - before any test imports mmseg itself, which warns
from sslhsic_transfer.adapters.onnx import OnnxDenseModel
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.onnx_export import export_transferred
from tests.dense_data import depth_lists, detection_coco, scene, segmentation_lists

SHORT = ("workers=0", "iterations=2", "warmup=1", "batch_size=2")
MAPS = (*SHORT, "crop=[48,64]")


def tuned(task, encoder, place, *overrides, framework=None):
    """The folder of a fine-tuned model, and the data that it saw."""
    data = {"segmentation": segmentation_lists, "depth": depth_lists, "detection": detection_coco}[task](place / "data")
    transfer(task, encoder, data, place / "run", framework=framework, overrides=overrides, progress=False)
    return place / "run" / "model"


@pytest.fixture(scope="module")
def segmented(model_folder, tmp_path_factory):
    return tuned("segmentation", model_folder, tmp_path_factory.mktemp("tuned"), *MAPS, "resize=48")


def test_the_command_exports_what_was_fine_tuned(segmented, tmp_path, sslhsic_here):
    told = sslhsic_here("export", segmented, "--output", tmp_path / "scenes.onnx", "--input", "resized").stdout
    assert "ok     relative error of logits at 2 × 3 × 131 × 96" in told
    model, file = load_transferred(segmented, "cpu"), OnnxDenseModel.from_file(tmp_path / "scenes.onnx")
    assert (file.info.framework, file.info.network, file.info.resize) == ("torchvision", "fcn", 48)
    assert (file.info.classes, file.info.model) == (("ground", "square"), "run/model")
    for number in (101, 102):
        picture = scene(number)[0]
        expected, found = model.predict(picture), file.predict(picture)
        assert (found.dtype, found.shape) == (np.uint8, expected.shape)
        assert (found == expected).mean() > 0.999
        assert 0 < expected.mean() < 1, "both classes"
    assert "ok" in sslhsic_here("verify", tmp_path / "scenes.onnx", segmented).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "fp16"), "dense models are exported in fp32 only"),
        (("--precision", "int8", "--calibration", "."), "Got precision int8 and calibration"),
        (("--input", "pictures"), "expected normalized, or resized for uint8 pictures"),
        (("--outputs", "c5"), "Got outputs c5; expected some of logits, classes"),
    ],
)
def test_what_encoders_have_and_dense_models_do_not(options, message, segmented, tmp_path, sslhsic_here):
    result = sslhsic_here("export", segmented, "--output", tmp_path / "scenes.onnx", *options, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_depth_in_meters(model_folder, tmp_path):
    folder = tuned("depth", model_folder, tmp_path, *MAPS, "resize=48", "network=dpt", "protocol.cap=5")
    export_transferred(folder, tmp_path / "depth.onnx")
    picture = scene(101)[0]
    expected = load_transferred(folder, "cpu").predict(picture)
    found = OnnxDenseModel.from_file(tmp_path / "depth.onnx").predict(picture)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    assert expected.std() > 1e-3
    assert np.abs(found - expected).max() < 0.01  # a step of 255 in the resized picture


def test_segmentors_of_mmseg(model_folder, tmp_path):
    folder = tuned("segmentation", model_folder, tmp_path, *MAPS, "network=fcn", framework="mmseg")
    export_transferred(folder, tmp_path / "scenes.onnx", outputs=["classes"])
    file = OnnxDenseModel.from_file(tmp_path / "scenes.onnx")
    picture = scene(101)[0]
    assert (file.info.framework, file.info.outputs) == ("mmseg", ("classes",))
    assert (file.predict(picture) == load_transferred(folder, "cpu").predict(picture)).mean() > 0.999


def expect_objects(weights):
    """Undo RetinaNet's start, by which nothing is an object: so soon there would be nothing to compare."""
    content = torch.load(weights)
    content["model"]["head.cls_score.bias"].zero_()
    torch.save(content, weights)


@pytest.mark.parametrize(
    ("framework", "network", "proposals"),
    [
        ("torchvision", "faster_rcnn", 20),
        ("detectron2", "faster_rcnn", 20),
        ("detectron2", "faster_rcnn", 1000),  # more than there are: their number differs from picture to picture
        ("detectron2", "retinanet", 20),
    ],
)
def test_detectors(framework, network, proposals, model_folder, blood_cells, tmp_path):
    settings = (*SHORT, f"network={network}", "sides=[96]", "longest_side=112", "sampled_regions=16")
    settings += (f"proposals={proposals}",)
    transfer("detection", model_folder, blood_cells, tmp_path / "run", framework=framework, overrides=settings)
    folder = tmp_path / "run" / "model"
    if network == "retinanet":
        expect_objects(folder / "model_final.pth")
    report = export_transferred(folder, tmp_path / "cells.onnx", pictures=blood_cells)
    assert report.verification.passed
    model, file = load_transferred(folder, "cpu"), OnnxDenseModel.from_file(tmp_path / "cells.onnx")
    picture = sorted(blood_cells.rglob("*.jpg"))[0]
    expected, found = model.predict(picture), file.predict(picture)
    assert file.info.classes == ("Platelets", "RBC", "WBC")
    assert (found.boxes.shape, found.labels.dtype) == (expected.boxes.shape, np.int64)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-3)
    boxes, truth = (torch.from_numpy(some.boxes) for some in (found, expected))
    assert len(truth) > 5, "there is something to compare"
    assert (box_iou(boxes, truth).amax(dim=1) > 0.98).float().mean() > 0.95
