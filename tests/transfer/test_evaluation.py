import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.detection import MeanAveragePrecision

from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.detection import BoxedPicture, Boxes, DetectionData, find_detection
from sslhsic_transfer.data.labelled.segmentation import IGNORED, find_segmentation
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.metrics.average_precision import average_precision
from sslhsic_transfer.metrics.depth import DepthProtocol
from sslhsic_transfer.transfer.evaluation import evaluate_depth, evaluate_detection, evaluate_segmentation
from tests.dense_data import depth_lists, detection_coco, detection_voc, segmentation_lists


def in_order(predictions):
    """A function of a picture that gives prepared predictions one after another."""
    waiting = iter(predictions)
    return lambda picture: next(waiting)


def test_the_truth_scores_one(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "val")
    masks = [data.read_mask(index) for index in range(len(data))]
    truth = [np.where(mask == IGNORED, 0, mask) for mask in masks]
    figures = evaluate_segmentation(in_order(truth), data)
    assert figures == {"mIoU": 1.0, "pixel accuracy": 1.0, "IoU ground": 1.0, "IoU square": 1.0}


def test_miou_is_torchmetrics(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "val")
    random = np.random.default_rng(0)
    found = [random.integers(0, 2, (60, 80), dtype=np.uint8) for _ in range(len(data))]
    figures = evaluate_segmentation(in_order(found), data)
    theirs = MulticlassJaccardIndex(2, average="none", ignore_index=IGNORED)
    for index, prediction in enumerate(found):
        theirs.update(torch.from_numpy(prediction).long(), torch.from_numpy(data.read_mask(index)).long())
    assert [figures["IoU ground"], figures["IoU square"]] == pytest.approx(theirs.compute().tolist(), abs=1e-6)
    assert figures["mIoU"] == pytest.approx(float(theirs.compute().mean()), abs=1e-6)


def test_a_class_that_nobody_names_does_not_count(tmp_path):
    root = segmentation_lists(tmp_path / "scenes")
    (root / "classes.txt").write_text("ground\nsquare\nsky\nvoid")
    data = find_segmentation(root, "val")
    truth = [data.read_mask(index) for index in range(len(data))]  # void is sky now, where it was void
    figures = evaluate_segmentation(in_order([np.where(mask == 2, 0, mask) for mask in truth]), data)
    assert figures["IoU sky"] == 0
    assert figures["mIoU"] == pytest.approx((figures["IoU ground"] + 1 + 0) / 3)
    (root / "classes.txt").write_text("ground\nsquare\nroad\nsky")  # void is road now, and nothing is sky
    figures = evaluate_segmentation(in_order([np.zeros((60, 80), np.uint8)] * 4), find_segmentation(root, "val"))
    assert (figures["IoU road"], "IoU sky" in figures) == (0, False)
    assert figures["mIoU"] == pytest.approx((figures["IoU ground"] + 0 + 0) / 3)


def shifted(entry, by):
    boxes = entry.boxes[~entry.ignored] + np.float32(by)
    return Boxes(boxes, np.full(len(boxes), 0.9, dtype=np.float32), entry.labels[~entry.ignored])


def test_true_boxes_score_one_and_what_is_difficult_does_not_count(tmp_path):
    data = find_detection(detection_voc(tmp_path / "scenes"), "val")
    figures = evaluate_detection(in_order([shifted(entry, 0) for entry in data.pictures]), data)
    assert (figures["AP"], figures["AP50"], figures["AP75"]) == pytest.approx((1, 1, 1))
    assert figures["AP square"] == pytest.approx(1)
    assert "AP dot" not in figures


def test_average_precision_is_torchmetrics(tmp_path):
    data = find_detection(detection_coco(tmp_path / "scenes"), "train")
    found = [shifted(entry, number % 4) for number, entry in enumerate(data.pictures)]
    figures = evaluate_detection(in_order(found), data)
    theirs = MeanAveragePrecision()
    for entry, boxes in zip(data.pictures, found, strict=True):
        tensors = {"boxes": boxes.boxes, "scores": boxes.scores, "labels": boxes.labels}
        truth = {"boxes": entry.boxes, "labels": entry.labels}
        theirs.update(
            [{key: torch.from_numpy(value) for key, value in tensors.items()}],
            [{key: torch.from_numpy(value) for key, value in truth.items()}],
        )
    expected = theirs.compute()
    assert 0 < figures["AP"] < 1
    for ours, name in (("AP", "map"), ("AP50", "map_50"), ("AP75", "map_75")):
        assert figures[ours] == pytest.approx(float(expected[name]), abs=1e-6)


def test_a_classs_precision_counts_all_of_its_objects_in_a_picture(tmp_path):
    corners = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], dtype=np.float32)
    picture = BoxedPicture(1, tmp_path / "1.png", (60, 60), corners, np.array([0, 0, 1]), np.zeros(3, dtype=bool))
    data = DetectionData("toys", "val", (picture,), ("car", "ball"))
    figures = average_precision(data.as_coco(), [picture.truth])
    assert figures == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1, "AP car": 1, "AP ball": 1})


def test_no_boxes_score_nothing(tmp_path):
    data = find_detection(detection_coco(tmp_path / "scenes"), "val")
    nothing = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert evaluate_detection(lambda picture: nothing, data) == {"AP": 0, "AP50": 0, "AP75": 0}


def test_depth(tmp_path):
    data = find_depth(depth_lists(tmp_path / "scenes"), "val")
    truth = [data.read_depth(index) for index in range(len(data))]
    figures = evaluate_depth(in_order([1.1 * depth + 0.1 * (depth == 0) for depth in truth]), data, DepthProtocol())
    assert figures["abs_rel"] == pytest.approx(0.1, abs=1e-6)
    assert figures["delta1"] == 1


def test_where_nothing_counts_there_is_nothing_to_measure(tmp_path):
    root = segmentation_lists(tmp_path / "scenes")
    data = find_segmentation(root, "val")
    for _, mask in data.pairs:
        Image.fromarray(np.full((60, 80), IGNORED, dtype=np.uint8)).save(mask)
    with pytest.raises(DataError, match="Every pixel of every mask is ignored"):
        evaluate_segmentation(lambda picture: np.zeros((60, 80), np.uint8), data)
    depth = find_depth(depth_lists(tmp_path / "rooms"), "val")
    with pytest.raises(DataError, match=r"No pixel of val of rooms has a depth within .*: 20–30 m, whole picture"):
        evaluate_depth(lambda picture: np.ones((60, 80), np.float32), depth, DepthProtocol(least=20, cap=30))


@pytest.mark.parametrize("told", [(0, 0), (80, 60)])
def test_a_perfect_detector_scores_one_whatever_size_is_told(tmp_path, told):
    root = detection_voc(tmp_path / "scenes")
    for path in (root / "VOC2007/Annotations").iterdir():
        size = "<width>{}</width><height>{}</height>"
        path.write_text(path.read_text().replace(size.format(80, 60), size.format(*told)))
    data = find_detection(root, "val")
    assert evaluate_detection(in_order([shifted(entry, 0) for entry in data.pictures]), data)["AP"] == pytest.approx(1)
