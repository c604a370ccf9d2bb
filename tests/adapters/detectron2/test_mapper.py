"""`PictureMapper` carries what Detectron2's own mapper carries, and refuses what that leaves out or fails at."""

import random

import numpy as np
import pycocotools.mask
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper, transforms
from detectron2.structures import BoxMode
from PIL import Image

from sslhsic_transfer.adapters.detectron2 import PictureMapper, add_sslhsic_config, build_train_loader
from sslhsic_transfer.errors import ConfigError, DataError

# Detectron2's keypoints, which torch takes slowly.
pytestmark = pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays")

POLYGON = [[4.0, 4.0, 30.0, 4.0, 30.0, 20.0, 4.0, 20.0]]
FLIPS = [transforms.ResizeShortestEdge([24, 40]), transforms.RandomFlip(prob=0.5)]


def rle():
    bits = np.zeros((32, 48), np.uint8, order="F")
    bits[4:20, 4:30] = 1
    return pycocotools.mask.encode(bits)


@pytest.fixture
def entry(tmp_path):
    """Make one entry of a data set, with everything that Detectron2 documents."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    Image.fromarray(noise[..., 0] % 5).save(tmp_path / "labels.png")
    objects = [
        {
            "bbox": [4, 4, 26, 16],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": number,
            "segmentation": POLYGON,
            "keypoints": [5, 6, 2, 40, 30, 2],
            "iscrowd": number // 2,
        }
        for number in range(3)
    ]
    objects[2]["segmentation"] = rle()  # a crowd's, which no network trains on
    return {
        "file_name": str(tmp_path / "a.png"),
        "height": 32,
        "width": 48,
        "image_id": 7,
        "annotations": objects,
        "sem_seg_file_name": str(tmp_path / "labels.png"),
        "pan_seg_file_name": "never read",
        "segments_info": [{"id": 1}],
        "proposal_boxes": np.array([[1, 2, 30, 20], [4, 4, 8, 9]], np.float32),
        "proposal_bbox_mode": BoxMode.XYXY_ABS,
        "proposal_objectness_logits": np.array([2, 1], np.float32),
    }


def both(entry, **options):
    """Map an entry by Detectron2's mapper and by ours, with the same random numbers."""
    options = {"is_train": True, "augmentations": FLIPS, "image_format": "RGB", **options}
    made = []
    for mapper in (DatasetMapper(**options), PictureMapper(**options)):
        random.seed(5)
        np.random.seed(5)
        made.append(mapper(entry))
    return made


def assert_same(theirs, ours):
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, ours[name]), name
        elif hasattr(value, "get_fields"):
            assert str(value.get_fields()) == str(ours[name].get_fields()), name
        elif not isinstance(value, np.ndarray):
            assert value == ours[name], name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {"gt_boxes", "gt_classes"}),
        ({"use_instance_mask": True}, {"gt_boxes", "gt_classes", "gt_masks"}),
        ({"use_instance_mask": True, "recompute_boxes": True}, {"gt_boxes", "gt_classes", "gt_masks"}),
        ({"use_instance_mask": True, "instance_mask_format": "bitmask"}, {"gt_boxes", "gt_classes", "gt_masks"}),
        ({"use_keypoint": True, "keypoint_hflip_indices": [1, 0]}, {"gt_boxes", "gt_classes", "gt_keypoints"}),
        ({"precomputed_proposal_topk": 1}, {"gt_boxes", "gt_classes"}),
    ],
)
def test_it_carries_what_detectron2s_carries(entry, training, image_format, options, fields):
    theirs, ours = both(entry, is_train=training, image_format=image_format, **options)
    assert_same(theirs, ours)
    assert ours["sem_seg"].dtype == torch.int64
    assert (ours["pan_seg_file_name"], ours["segments_info"]) == ("never read", [{"id": 1}])
    assert ("proposals" in ours) == ("precomputed_proposal_topk" in options)
    assert ("instances" in ours) == training
    if training:
        assert set(ours["instances"].get_fields()) == fields
        assert len(ours["instances"]) == 2


def test_masks_as_run_lengths_are_bits(entry):
    for item in entry["annotations"]:
        item["segmentation"] = rle()
    options = {"use_instance_mask": True, "instance_mask_format": "bitmask"}
    theirs, ours = both(entry, **options)
    assert_same(theirs, ours)
    assert ours["instances"].gt_masks.tensor.any(dim=2).any(dim=1).all()
    with pytest.raises(ConfigError, match=r"INPUT.MASK_FORMAT .*: got polygon, but .*a\.png has masks as run lengths"):
        ours_of(entry, use_instance_mask=True)


def ours_of(entry, **options):
    options = {"is_train": True, "augmentations": FLIPS, "image_format": "RGB", **options}
    return PictureMapper(**options)(entry)


def test_semantic_labels_are_numbers_whatever_the_file(entry, tmp_path):
    numbers = np.arange(32 * 48).reshape(32, 48) % 600
    Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "labels.png")
    assert (ours_of(entry, augmentations=[])["sem_seg"].numpy() == numbers).all()
    indexed = Image.fromarray((numbers % 7).astype(np.uint8)).convert("P")
    indexed.putpalette([200, 10, 10] * 256)
    indexed.save(tmp_path / "labels.png")
    assert (ours_of(entry, augmentations=[])["sem_seg"].numpy() == numbers % 7).all()
    resized = ours_of(entry, augmentations=[transforms.Resize((64, 96))])["sem_seg"].numpy()
    assert (resized == (numbers % 7).repeat(2, 0).repeat(2, 1)).all()
    Image.fromarray(numbers.astype(np.uint16)).resize((24, 16)).save(tmp_path / "labels.png")
    with pytest.raises(DataError, match=r"a\.png has 48 × 32 pixels, its semantic labels .*labels\.png 24 × 16"):
        ours_of(entry)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda e: e["annotations"][1].pop("segmentation"), {"use_instance_mask": True}, DataError, "MODEL.MASK_ON"),
        (
            lambda e: e["annotations"][0].pop("keypoints"),
            {"use_keypoint": True},
            DataError,
            "1 of 2 objects .*MODEL.KEYP",
        ),
        (lambda e: e.pop("proposal_boxes"), {"precomputed_proposal_topk": 5}, ConfigError, "MODEL.LOAD_PROPOSALS"),
        (lambda e: e.update(width=32, height=48), {}, DataError, "has 48 × 32 pixels, its annotations say 32 × 48"),
        (lambda e: e["annotations"][0].pop("category_id"), {}, DataError, r"annotations of .*a\.png .*category_id"),
        (lambda e: e["annotations"][0].update(bbox=[1, 2]), {}, DataError, r"annotations of .*a\.png cannot be used"),
        (
            lambda e: e["annotations"][0].update(segmentation=[[1.0, 2.0]]),
            {"use_instance_mask": True},
            DataError,
            r"annotations of .*a\.png cannot be used",
        ),
    ],
)
def test_what_an_entry_does_not_have_is_refused(entry, change, options, error, message):
    change(entry)
    with pytest.raises(error, match=message):
        ours_of(entry, **options)


def test_formats_that_are_not_read_are_refused():
    with pytest.raises(ConfigError, match=r"INPUT.FORMAT: got 'YUV-BT.601'; expected RGB or BGR"):
        PictureMapper(is_train=False, augmentations=[], image_format="YUV-BT.601")
    cfg = get_cfg()
    cfg.INPUT.FORMAT = "L"
    with pytest.raises(ConfigError, match=r"INPUT.FORMAT: got 'L'"):
        PictureMapper(cfg, is_train=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"MODEL.LOAD_PROPOSALS": True}, "PROPOSAL_FILES_TRAIN: got 0 files for 1"),
        (
            {"DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler", "DATASETS.TRAIN": ("mapped",)},
            "SAMPLER_TRAIN: got",
        ),
        ({"SOLVER.IMS_PER_BATCH": 0, "DATASETS.TRAIN": ("mapped",)}, "IMS_PER_BATCH: got 0"),
    ],
)
def test_settings_that_batches_cannot_follow_are_refused(entry, settings, message):
    from detectron2.data import DatasetCatalog, MetadataCatalog

    cfg = get_cfg()
    add_sslhsic_config(cfg)
    cfg.SEED, cfg.DATASETS.TRAIN = 1, ("mapped",)
    cfg.merge_from_list([part for setting in settings.items() for part in setting])
    DatasetCatalog.register("mapped", lambda: [entry])
    MetadataCatalog.get("mapped").set(thing_classes=["a", "b", "c"])
    try:
        with pytest.raises(ConfigError, match=message):
            build_train_loader(cfg)
    finally:
        DatasetCatalog.remove("mapped")
        MetadataCatalog.pop("mapped")


def test_proposals_and_keypoints_reach_the_batches_of_a_seed(entry, tmp_path):
    import pickle

    from detectron2.data import DatasetCatalog, MetadataCatalog

    for name in ("proposal_boxes", "proposal_bbox_mode", "proposal_objectness_logits", "sem_seg_file_name"):
        del entry[name]
    boxes = [np.array([[1, 2, 30, 20]], np.float32)]
    with (tmp_path / "proposals.pkl").open("wb") as file:
        pickle.dump({"ids": [7], "boxes": boxes, "objectness_logits": [np.array([2], np.float32)]}, file)
    cfg = get_cfg()
    add_sslhsic_config(cfg)
    cfg.INPUT.FORMAT, cfg.SEED, cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = "RGB", 1, 1, 0
    cfg.MODEL.LOAD_PROPOSALS, cfg.MODEL.KEYPOINT_ON = True, True
    cfg.DATASETS.TRAIN, cfg.DATASETS.PROPOSAL_FILES_TRAIN = ("mapped",), (str(tmp_path / "proposals.pkl"),)
    DatasetCatalog.register("mapped", lambda: [entry])
    MetadataCatalog.get("mapped").set(
        thing_classes=["a", "b", "c"], keypoint_names=["left", "right"], keypoint_flip_map=[("left", "right")]
    )
    try:
        (example,) = next(iter(build_train_loader(cfg)))
        assert len(example["proposals"]) == 1
        assert example["instances"].gt_keypoints.tensor.shape == (2, 2, 3)
        cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE = 9
        with pytest.raises(DataError, match="No picture of mapped"):
            build_train_loader(cfg)
    finally:
        DatasetCatalog.remove("mapped")
        MetadataCatalog.pop("mapped")
