"""Losses, examples and predictors of the tasks follow their settings."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslhsic_transfer import Preprocessing
from sslhsic_transfer.adapters.depth import DepthProtocol, berhu, gradient_matching, scale_invariant_log
from sslhsic_transfer.data.labelled.classification import find_classification
from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.data.labelled.segmentation import IGNORED, find_segmentation
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer.tasks.classification import (
    ClassificationExamples,
    ClassificationSettings,
    ClassificationTask,
)
from sslhsic_transfer.transfer.tasks.depth import DepthSettings, DepthTask
from sslhsic_transfer.transfer.tasks.detection import DetectionSettings, DetectionTask
from sslhsic_transfer.transfer.tasks.segmentation import SegmentationSettings, SegmentationTask
from tests.dense_data import detection_coco, detection_voc, segmentation_lists

PREPROCESSING = Preprocessing.for_size(64)


def test_smoothed_targets_are_shared_by_all_classes():
    scores = torch.tensor([[2.0, 0.0, -1.0]])
    task = ClassificationTask(ClassificationSettings(label_smoothing=0.3), PREPROCESSING, ("a", "b", "c"))
    logs = scores.log_softmax(1)[0]
    found = task.loss(nn.Identity(), [scores, torch.tensor([1])])
    torch.testing.assert_close(found, -(0.7 * logs[1] + 0.3 * logs.mean()))


def test_pictures_are_mirrored_and_resized_as_the_settings_say(digits):
    data = find_classification(digits, "train")

    def seen(flip, interpolation="bilinear"):
        preprocessing = PREPROCESSING.model_copy(update={"interpolation": interpolation})
        return ClassificationExamples(data, ClassificationSettings(flip=flip), preprocessing)[3, 7][0]

    assert torch.equal(seen(1.0), seen(0.0).flip(-1))
    assert not torch.equal(seen(0.0), seen(0.0, "bicubic"))


def test_segmentation_counts_labelled_pixels_alone():
    torch.manual_seed(0)
    scores, classes = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    classes[:, :2] = IGNORED
    task = SegmentationTask(SegmentationSettings(), PREPROCESSING, ("a", "b", "c"))
    found = task.loss(lambda images: {"out": images}, [scores, classes])
    torch.testing.assert_close(found, F.cross_entropy(scores[:, :, 2:], classes[:, 2:]))
    assert task.loss(lambda images: {"out": images}, [scores, torch.full_like(classes, IGNORED)]) == 0


def test_colors_are_jittered_and_nothing_else(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "train")

    def example(jitter):
        settings = SegmentationSettings(crop=(48, 64), color_jitter=jitter)
        return SegmentationTask(settings, PREPROCESSING, data.classes).examples(data)[2, 5]

    (plain, mask), (colored, same) = example(0.0), example(0.8)
    assert torch.equal(mask, same)
    assert (plain - colored).abs().mean() > 0.05


def test_difficult_objects_are_not_learned_from(tmp_path):
    data = find_detection(detection_voc(tmp_path / "scenes"), "train")
    _, target = DetectionTask(DetectionSettings(), PREPROCESSING, data.classes).examples(data)[0, 0]
    assert (target["boxes"].shape, target["labels"].tolist()) == ((1, 4), [2])  # 0 is the background, 1 the dot


def test_a_split_without_objects_is_refused(tmp_path):
    root, settings = detection_coco(tmp_path / "scenes"), DetectionSettings()
    find = DetectionTask.find
    assert len(find(root, "val", settings)) == 4
    path = root / "annotations" / "instances_val.json"
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    with pytest.raises(DataError, match="val of scenes has 4 pictures and no object in them that counts"):
        find(root, "val", settings)


@pytest.mark.parametrize(("test_side", "expected"), [(None, 96), (128, 128)])
def test_the_side_at_the_test_is_its_own_or_the_largest(test_side, expected):
    network = nn.Identity()
    network.transform = SimpleNamespace()
    DetectionTask(DetectionSettings(sides=(64, 96), test_side=test_side), PREPROCESSING, ("a",)).predictor(network)
    assert network.transform.min_size == (expected,)


@pytest.mark.parametrize("name", ["berhu", "silog", "silog+gradient"])
def test_depth_is_learned_within_the_protocols_bounds(name):
    torch.manual_seed(0)
    depth, predicted = 6 * torch.rand(2, 1, 8, 8), 1 + 4 * torch.rand(2, 1, 8, 8)
    compared = predicted, depth, (depth >= 1) & (depth <= 5)
    silog = scale_invariant_log(*compared)
    expected = {"berhu": berhu(*compared), "silog": silog, "silog+gradient": silog + 0.5 * gradient_matching(*compared)}
    settings = DepthSettings(loss=name, protocol=DepthProtocol(least=1.0, cap=5.0))
    torch.testing.assert_close(
        DepthTask(settings, PREPROCESSING).loss(nn.Identity(), [predicted, depth]), expected[name]
    )


def test_the_former_name_of_a_setting_is_read():
    assert DepthSettings.model_validate({"units_per_metre": 5000.0}).units_per_meter == 5000
