"""Labels, lists and maps with bytes changed: data that can be used, or an error of ours."""

import json
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from tests.dense_data import depth_lists, detection_coco, detection_voc, segmentation_lists
from tests.fuzzing import FORMS, Form, read_all
from tests.mutations import damaged

pytestmark = pytest.mark.usefixtures("few_pixels")
MOST = 150  # MiB: maps of a million pixels and what reads them
SPLIT = "train"


@pytest.fixture
def few_pixels(monkeypatch):
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "1000000")


def _detection(root: Path) -> None:
    data = find_detection(root, SPLIT)
    for picture in data.pictures:
        assert np.isfinite(picture.boxes).all()
        assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()
        assert ((picture.labels >= 0) & (picture.labels < len(data.classes))).all()


def _segmentation(root: Path) -> None:
    data = find_segmentation(root, SPLIT)
    for index in range(len(data)):
        values = set(np.unique(data.read_mask(index)).tolist())
        assert values <= {*range(len(data.classes)), 255}


def _depth(root: Path, layout: str = "auto") -> None:
    data = find_depth(root, SPLIT, layout)
    for index in range(len(data)):
        depth = data.read_depth(index)
        assert depth.dtype == np.float32
        assert np.isfinite(depth).all()
        assert (depth >= 0).all()


def _diode(root: Path) -> None:
    _depth(root, "diode")


def _nyu(root: Path) -> None:
    _depth(root, "nyu")
    find_depth(root, SPLIT, "nyu").read_picture(0)


def diode(root: Path) -> Path:
    depth_lists(root / "lists", 2, 0)
    (root / SPLIT).mkdir()
    for number in range(2):
        (root / "lists" / "rgb" / f"{number}.png").rename(root / SPLIT / f"{number}.png")
        for name, values in (("depth", np.full((60, 80, 1), 2, np.float32)), ("depth_mask", np.ones((60, 80)))):
            np.save(root / SPLIT / f"{number}_{name}.npy", values)
    return root


def nyu(root: Path) -> Path:
    root.mkdir()
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.zeros((2, 3, 16, 12), np.uint8)
        file["depths"] = np.ones((2, 16, 12), np.float32)
    savemat(root / "splits.mat", {"trainNdxs": [[1], [2]], "testNdxs": [[1]]})
    return root


def few(write, root: Path) -> Path:
    return write(root, 3, 0)


CASES = {
    "VOC": (detection_voc, "VOC2007/Annotations/000000.xml", _detection, 200),
    "VOC's list": (detection_voc, "VOC2007/ImageSets/Main/train.txt", _detection, 100),
    "list of masks": (segmentation_lists, "train.txt", _segmentation, 60),
    "mask": (segmentation_lists, "trainannot/0.png", _segmentation, 100),
    "classes": (segmentation_lists, "classes.txt", _segmentation, 60),
    "list of depth": (depth_lists, "train.txt", _depth, 60),
    "depth": (depth_lists, "depth/0.png", _depth, 100),
    "array": (lambda root, *_: diode(root), "train/0_depth.npy", _diode, 100),
    "mask of an array": (lambda root, *_: diode(root), "train/0_depth_mask.npy", _diode, 60),
    "HDF5": (lambda root, *_: nyu(root), "nyu_depth_v2_labeled.mat", _nyu, 100),
    "Matlab": (lambda root, *_: nyu(root), "splits.mat", _nyu, 100),
}


@FORMS
@pytest.mark.parametrize("name", CASES)
def test_damaged_files(name, form: Form, tmp_path):
    write, file, work, each = CASES[name]
    root = few(write, tmp_path / "data")
    work(root)
    found = read_all(work, form.inputs([(root / file).read_bytes()], each), root, most=MOST, file=file)
    assert found["DataError"] > 5


def _other_values(content: bytes, random: Random) -> bytes:
    """Exchange or leave out one value of a JSON document, at any depth."""
    document = json.loads(content)
    node = document
    while True:
        key = random.choice(sorted(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or random.random() < 0.2:
            break
        node = node[key]
    if random.random() < 0.2:
        del node[key]
    else:
        node[key] = random.choice((None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "x", [], {}, [[]]))
    return json.dumps(document).encode()


@FORMS
@pytest.mark.parametrize("change", [_other_values, damaged])
def test_other_values_in_coco(change, form: Form, tmp_path):
    file = "annotations/instances_train.json"
    root = few(detection_coco, tmp_path / "data")
    found = read_all(_detection, form.inputs([(root / file).read_bytes()], 200, change), root, most=MOST, file=file)
    assert found["DataError"] > 50
