import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslhsic_transfer.data.labelled.annotations import AnnotatedPicture, LabelledBox, in_order
from sslhsic_transfer.data.labelled.boxes import boxed_pictures
from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.errors import DataError
from tests.dense_data import detection_coco

NUMBERS = st.floats(-200, 200, allow_nan=False) | st.integers(-3, 100)


def found(root, *boxes):
    path = root / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"] = [
        {"id": number, "image_id": 100, "category_id": 7, "bbox": box} for number, box in enumerate(boxes)
    ]
    path.write_text(json.dumps(content))
    return find_detection(root, "val").pictures[0].boxes.tolist()


def test_boxes_are_cut_at_the_pictures_edges(tmp_path, caplog):
    root = detection_coco(tmp_path / "scenes")
    assert found(root, [-0.5, -1, 10, 10], [70, 50, 11, 11]) == [[0, 0, 9.5, 9], [70, 50, 80, 60]]
    assert not caplog.records
    assert found(root, [-5, -5, 10, 10], [70, 50, 50, 50]) == [[0, 0, 5, 5], [70, 50, 80, 60]]
    assert "2 of 2 objects of" in caplog.text
    assert "val.json reach beyond their pictures and are cut, such as annotation 0 of" in caplog.text


def test_fractions_of_the_pictures_are_no_pixels(tmp_path):
    """As some tools write boxes; a file with one box in pixels has all in pixels."""
    root = detection_coco(tmp_path / "scenes")
    with pytest.raises(
        DataError, match=r"All 2 objects of .*val\.json lie within the first pixel .*fractions of width"
    ):
        found(root, [0.1, 0.2, 0.5, 0.75], [0, 0, 1, 1])
    assert found(root, [0, 0, 1, 1], [3, 4, 5, 6]) == [[0, 0, 1, 1], [3, 4, 8, 10]]


def test_negative_widths_and_heights_lead_to_the_other_corner(tmp_path):
    assert found(detection_coco(tmp_path / "scenes"), [40, 40, -30, -20], [10, 40, 5, -5]) == [
        [10, 20, 40, 40],
        [10, 35, 15, 40],
    ]


def test_objects_without_an_area_are_left_out_and_counted(tmp_path, caplog):
    root = detection_coco(tmp_path / "scenes")
    assert found(root, [5, 5, 0, 4], [5, 5, 1, 1], [6, 6, 0, 0]) == [[5, 5, 6, 6]]
    assert "val.json have no area and are left out, such as annotation 0 of" in caplog.text


@pytest.mark.parametrize("box", [[90, 5, 4, 4], [80, 5, 4, 4], [5, -9, 4, 4], [5, 5000, 1e300, 1e300]])
def test_objects_outside_their_picture_are_refused(tmp_path, box):
    with pytest.raises(
        DataError, match=r"(?s)1 of 2 objects .* outside .*annotation 1 of .*100\.png, 80 × 60 pixels, has"
    ):
        found(detection_coco(tmp_path / "scenes"), [1, 1, 2, 2], box)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "a.png"
    Image.new("RGB", (80, 60)).save(path)
    return path


@settings(max_examples=50, deadline=None)
@given(boxes=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=4))
def test_any_boxes_become_parts_of_the_picture_or_are_refused(picture, boxes):
    objects = tuple(LabelledBox(in_order(*box), 0, False, f"object {n}") for n, box in enumerate(boxes))
    annotated = AnnotatedPicture(0, picture, (None, None), objects, picture)
    try:
        (boxed,) = boxed_pictures([annotated], picture)
    except DataError:
        assert any(x2 <= 0 or y2 <= 0 or x1 >= 80 or y1 >= 60 for (x1, y1, x2, y2), *_ in objects)
        return
    inside = np.array([np.clip(entry.corners, 0, [80, 60, 80, 60]) for entry in objects]).reshape(-1, 4)
    sides = inside[:, 2:] - inside[:, :2]
    assert (boxed.boxes[:, 2:] > boxed.boxes[:, :2]).all()
    assert (sides >= 0.02).all(axis=1).sum() <= len(boxed.boxes) <= (sides > 0).all(axis=1).sum()
    assert all(np.abs(inside - box).sum(axis=1).min() < 1e-3 for box in boxed.boxes)
    assert len(boxed.boxes) == len(boxed.labels) == len(boxed.ignored)
