import numpy as np
import pytest
import torch
from PIL import Image

from sslhsic_transfer import Preprocessing
from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.data.labelled.segmentation import IGNORED, find_segmentation
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer.tasks.augmentation import at_size_of, network_input, seeded
from sslhsic_transfer.transfer.tasks.depth import DepthSettings, DepthTask
from sslhsic_transfer.transfer.tasks.detection import DetectionSettings, DetectionTask
from sslhsic_transfer.transfer.tasks.segmentation import SegmentationSettings, SegmentationTask
from tests.dense_data import depth_lists, detection_coco, segmentation_lists

PREPROCESSING = Preprocessing.for_size(64)


def is_square(images):
    """Where the network's input is as bright as the square."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (PREPROCESSING.mean, PREPROCESSING.std))
    return (images * std + mean)[0] > 0.6


@pytest.fixture
def segmentation(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "train")
    settings = SegmentationSettings(crop=(48, 64), scale=(0.5, 2.0), color_jitter=0.0)
    return SegmentationTask(settings, PREPROCESSING, data.classes).examples(data)


@pytest.mark.parametrize("seed", range(12))
def test_picture_and_mask_stay_together(segmentation, seed):
    image, mask = segmentation[seed % 8, seed]
    assert (image.shape, mask.shape) == ((3, 48, 64), (48, 64))
    assert (image.dtype, mask.dtype) == (torch.float32, torch.int64)
    seen, counted = is_square(image), mask != IGNORED
    assert set(mask.unique().tolist()) <= {0, 1, IGNORED}
    assert (seen == (mask == 1))[counted].float().mean() > 0.95  # edges are smooth in the picture alone


def test_what_pads_is_ignored_and_nothing_to_the_network(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "train")
    settings = SegmentationSettings(crop=(128, 160), scale=(1.0, 1.0), color_jitter=0.0)
    image, mask = SegmentationTask(settings, PREPROCESSING, data.classes).examples(data)[0, 0]
    outside = (mask == IGNORED).float()
    assert outside.mean() > 0.7
    assert image.abs().amin(dim=0)[mask == IGNORED].quantile(0.9) < 0.02


def test_examples_are_functions_of_their_seed(segmentation):
    torch.manual_seed(1)
    first = segmentation[2, 5]
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = segmentation[2, 5]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], segmentation[2, 6][0])


@pytest.mark.parametrize("seed", range(6))
def test_boxes_go_with_the_picture(tmp_path, seed):
    data = find_detection(detection_coco(tmp_path / "scenes"), "train")
    examples = DetectionTask(DetectionSettings(), PREPROCESSING, data.classes).examples(data)
    image, target = examples[seed, seed]
    assert image.min() >= 0
    assert image.max() <= 1
    rows, columns = torch.nonzero(image[0] > 0.6, as_tuple=True)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert target["boxes"][0].tolist() == [float(value) for value in seen]
    assert target["labels"].tolist() == [1]


def test_pictures_without_objects_are_examples_too(tmp_path):
    data = find_detection(detection_coco(tmp_path / "scenes"), "train")
    task = DetectionTask(DetectionSettings(), PREPROCESSING, data.classes)
    _, target = task.examples(data)[7, 0]
    assert target["boxes"].shape == (0, 4)


@pytest.mark.parametrize("seed", range(6))
def test_depth_goes_with_the_picture(tmp_path, seed):
    data = find_depth(depth_lists(tmp_path / "scenes"), "train")
    settings = DepthSettings(crop=(40, 48), resize=90, color_jitter=0.0)
    image, depth = DepthTask(settings, PREPROCESSING).examples(data)[seed, seed]
    assert depth.shape == (1, 40, 48)
    assert set(depth.unique().tolist()) <= {0, 1, 3}
    known = depth[0] > 0
    assert (is_square(image) == (depth[0] == 1))[known].float().mean() > 0.95


def test_sizes_that_disagree_are_named(tmp_path):
    root = segmentation_lists(tmp_path / "a")
    data = find_segmentation(root, "train")
    Image.new("RGB", (10, 12)).save(data.pairs[0][0])
    with pytest.raises(DataError, match=r"0\.png has 10 × 12 pixels and its mask 80 × 60; expected the same"):
        SegmentationTask(SegmentationSettings(), PREPROCESSING, data.classes).examples(data)[0, 0]
    boxes = find_detection(detection_coco(tmp_path / "b"), "train")
    Image.new("RGB", (10, 12)).save(boxes.pictures[0].path)
    with pytest.raises(DataError, match=r"0\.png has 10 × 12 pixels; its annotation says 80 × 60"):
        DetectionTask(DetectionSettings(), PREPROCESSING, boxes.classes).examples(boxes)[0, 0]
    depth = find_depth(depth_lists(tmp_path / "c"), "train")
    Image.new("RGB", (10, 12)).save(tmp_path / "c" / "rgb" / "0.png")
    with pytest.raises(DataError, match=r"rgb/0\.png has 10 × 12 pixels and its depth 80 × 60"):
        DepthTask(DepthSettings(), PREPROCESSING).examples(depth)[0, 0]


def test_the_networks_input_is_the_encoders_preprocessing():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for side in (64, 32, 96):
        preprocessing = Preprocessing(resize=side, crop=side, interpolation="bilinear", mean=(0.5, 0.4, 0.3))
        expected = preprocessing.transform()(picture)[None]
        torch.testing.assert_close(network_input(picture, side, preprocessing), expected)
    assert network_input(picture, None, PREPROCESSING).shape == (1, 3, 64, 64)


def test_maps_are_enlarged_between_the_centers_of_pixels():
    found = at_size_of(Image.new("RGB", (4, 2)), torch.tensor([[[[0.0, 1.0]]]]))
    assert found[0, 0].tolist() == [[0.0, 0.25, 0.75, 1.0]] * 2


def test_seeds_leave_no_trace():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(1):
        torch.rand(5)
    assert torch.equal(torch.rand(2), expected)
