import numpy as np
import pytest

from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.errors import DataError
from tests.dense_data import SIZE, detection_coco, detection_voc, scene


def test_coco(tmp_path):
    data = find_detection(detection_coco(tmp_path / "scenes"), "train")
    assert (data.name, data.split, data.classes, len(data)) == ("scenes", "train", ("square",), 8)
    entry = data.pictures[2]
    assert (entry.id, entry.size, entry.labels.tolist(), entry.ignored.tolist()) == (2, SIZE, [0], [False])
    assert entry.boxes.tolist() == [list(scene(2)[1])]
    assert data.pictures[-1].boxes.shape == (0, 4)


def test_crowds_are_ignored(tmp_path):
    root = detection_coco(tmp_path / "scenes")
    path = root / "annotations" / "instances_val.json"
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1', 1))
    assert [entry.ignored.tolist() for entry in find_detection(root, "val").pictures] == [[True], [False], [False], []]


def test_voc_counts_from_one_and_marks_what_is_difficult(tmp_path):
    data = find_detection(detection_voc(tmp_path / "scenes"), "val")
    assert data.classes == ("dot", "square")
    entry = data.pictures[1]
    assert entry.boxes.tolist() == [list(scene(101)[1]), [0, 0, 5, 5]]
    assert (entry.labels.tolist(), entry.ignored.tolist()) == ([1, 0], [False, True])


def test_classes_txt_fixes_the_order(tmp_path):
    root = detection_voc(tmp_path / "scenes")
    (root / "classes.txt").write_text("square\ndot\n")
    assert find_detection(root, "val").pictures[0].labels.tolist() == [0, 1]
    (root / "classes.txt").write_text("square\n")
    with pytest.raises(DataError, match=r"000100\.xml: .*Expected VOC's objects, of the classes square"):
        find_detection(root, "val")


def test_as_coco_says_the_same(tmp_path):
    from pycocotools.coco import COCO

    data = find_detection(detection_voc(tmp_path / "scenes"), "val")
    coco = COCO()
    coco.dataset = data.as_coco()
    coco.createIndex()
    (square, dot) = coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    x1, y1, x2, y2 = scene(100)[1]
    assert square["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    assert square["area"] == (x2 - x1) * (y2 - y1)
    assert (coco.cats[square["category_id"]]["name"], square["iscrowd"], dot["iscrowd"]) == ("square", 0, 1)


def test_no_layout_and_no_xml(tmp_path):
    root = detection_voc(tmp_path / "scenes")
    with pytest.raises(DataError, match=r"no split 'test' in any known layout"):
        find_detection(root, "test")
    (root / "VOC2007" / "Annotations" / "000100.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"000100\.xml is not XML"):
        find_detection(root, "val")


def assert_agree(root, boxes):
    coco, voc = (find_detection(root, "val", layout) for layout in ("coco", "voc"))
    assert coco.classes == voc.classes
    by_path = {entry.path: entry for entry in voc.pictures}
    assert sum(len(entry.boxes) for entry in coco.pictures) == boxes
    for entry in coco.pictures:
        assert np.array_equal(entry.boxes, by_path[entry.path].boxes)
        assert np.array_equal(entry.labels, by_path[entry.path].labels)


def test_both_layouts_of_real_pictures_agree(blood_cells):
    assert_agree(blood_cells, boxes=73)


@pytest.mark.parametrize(("name", "boxes"), [("bccd", 1138), ("raccoon_det", 26)])
def test_both_layouts_of_real_data_agree(data_root, name, boxes):
    assert_agree(data_root / name, boxes)
