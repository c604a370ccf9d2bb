import json
import math

import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.errors import DataError
from tests.dense_data import detection_coco


@pytest.fixture
def root(tmp_path):
    return detection_coco(tmp_path / "scenes")


@pytest.fixture
def changed(root):
    """Change the file of `val`, and find it."""

    def change(function):
        path = root / "annotations" / "instances_val.json"
        content = json.loads(path.read_text())
        content = function(content) or content
        path.write_text(json.dumps(content))
        return find_detection(root, "val")

    return change


def first(part, **values):
    """Make a change of the first entry of a part; None removes a value."""

    def change(content):
        entry = content[part][0]
        entry.update(values)
        for name in [name for name, value in values.items() if value is None]:
            del entry[name]

    return change


def both(*changes):
    def change(content):
        for one in changes:
            one(content)

    return change


CLASH = r"two pictures have the id 100: .*100\.png.* and .*101\.png.* number their ids anew"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda content: {"images": [], "annotations": []}, "is not a COCO file of objects: it has no categories"),
        (lambda content: content["images"], r"holds a JSON list; expected an object with images, annotations"),
        (lambda content: {**content, "images": {}}, r"images holds \{\}; expected a list of JSON objects"),
        (lambda content: {**content, "annotations": [None]}, r"annotations holds None; expected a list"),
        (lambda content: content["images"][1].update(id=100), CLASH),
        (first("images", id=None), r"the picture at place 0 has the id None; expected a whole number"),
        (first("images", id=True), r"the picture at place 0 has the id True"),
        (first("images", id=math.nan), r"the picture at place 0 has the id nan"),
        (first("images", id="100"), r"the id '100' of a picture is text, others are numbers"),
        (first("images", file_name=None), r"picture 100 has the file_name None; expected a file's name"),
        (first("images", file_name="x.jpg"), r"1 of 4 files .* such as .*val/x\.jpg \(val holds 100\.png, "),
        (first("images", file_name="101.png"), r"the pictures 100 and 101 are both .*101\.png"),
        (
            lambda content: [i.update(file_name=f"{i['id']}.gif") for i in content["images"]] and None,
            r"such as .*100\.gif",
        ),
        (
            lambda content: [i.update(file_name=f"x{i['id']}") for i in content["images"]] and None,
            r"none of its folders val",
        ),
        (first("images", width="wide"), r"the width of picture 100 is 'wide'; expected a finite number"),
        (first("images", height=59.5), r"the height of picture 100 is 59\.5; expected a whole number"),
        (first("categories", name=None), r"category 7 has the name None; expected text"),
        (first("categories", name=" "), r"category 7 has the name ' '; expected text"),
        (first("categories", name=True), r"category 7 has the name True; expected text"),
        (lambda c: c["categories"].append({"id": 7, "name": "x"}), r"two categories have the id 7"),
        (
            lambda c: c["categories"].append({"id": 9, "name": " square"}),
            r"categories 7 and 9 are both called 'square'",
        ),
        (first("annotations", image_id=9), r"annotation 100: its image_id is 9; there is no picture with this id"),
        (
            first("annotations", image_id="100"),
            r"annotation 100: its image_id is '100', the picture has the id 100: one is",
        ),
        (first("annotations", image_id=[1]), r"annotation 100: its image_id is \[1\]; there is no picture"),
        (first("annotations", category_id=3), r"annotation 100: its category_id is 3; there is no category"),
        (first("annotations", category_id=None), r"annotation 100: its category_id is None; there is no category"),
        (first("annotations", bbox=None), r"annotation 100: its bbox is None; expected \[x, y, width, height\]"),
        (first("annotations", bbox=[1, 2]), r"annotation 100: its bbox is \[1, 2\]"),
        (
            first("annotations", bbox=[1, 2, 3, math.nan]),
            r"annotation 100: a value of its bbox is 'nan'; expected a finite number",
        ),
        (
            first("annotations", bbox=[1, 2, math.inf, 4]),
            r"annotation 100: a value of its bbox is 'inf'; expected a finite number",
        ),
        (
            first("annotations", bbox=[1, 2, 10**400, 4]),
            r"annotation 100: a value of its bbox is '1000.* expected a finite number",
        ),
        (
            first("annotations", bbox=["1", "2", "3", "4"]),
            r"annotation 100: a value of its bbox is '1'; expected a finite number",
        ),
        (
            first("annotations", bbox=[1, 2, True, 4]),
            r"annotation 100: a value of its bbox is 'True'; expected a finite number",
        ),
        (first("annotations", iscrowd="maybe"), r"annotation 100: its iscrowd is 'maybe'; expected 0 or 1"),
        (first("annotations", iscrowd=2), r"annotation 100: its iscrowd is 2; expected 0 or 1"),
    ],
)
def test_what_cannot_be_used_is_named(changed, change, found):
    with pytest.raises(DataError, match=found):
        changed(change)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "<html></html>", '{"images": 1' + "1" * 5000])
def test_what_is_not_json_is_named(root, text):
    (root / "annotations" / "instances_val.json").write_text(text)
    with pytest.raises(
        DataError, match=r"instances_val\.json (is not JSON|is nested too deeply|cannot be read: .*web page)"
    ):
        find_detection(root, "val")


@pytest.mark.parametrize(
    ("flag", "ignored"),
    [("1", True), ("true", True), (True, True), ("0", False), ("false", False), (0.0, False), (None, False)],
)
def test_flags_are_read_as_what_they_say(changed, flag, ignored):
    data = changed(first("annotations", iscrowd=flag))
    assert data.pictures[0].ignored.tolist() == [ignored]


def test_ids_may_be_text_and_names_numbers(changed):
    def change(content):
        for entry in content["images"]:
            entry["id"] = f"p{entry['id']}"
        for entry in content["annotations"]:
            entry["image_id"] = f"p{entry['image_id']}"
        content["categories"] = [{"id": 7, "name": 2007}]

    data = changed(change)
    assert ([entry.id for entry in data.pictures], data.classes) == ([0, 1, 2, 3], ("2007",))
    assert [len(entry.boxes) for entry in data.pictures] == [1, 1, 1, 0]


def test_whole_floats_are_the_ids_that_they_equal(changed):
    data = changed(both(first("annotations", image_id=100.0), first("images", id=100.0)))
    assert [(entry.id, len(entry.boxes)) for entry in data.pictures][:2] == [(100, 1), (101, 1)]


@pytest.mark.parametrize("name", ["val\\{}", "/home/me/data/val/{}", "D:\\me\\val\\{}", "images/val/{}", "./{}"])
def test_file_names_of_other_machines_are_found(root, name):
    for path in (root / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        for entry in content["images"]:
            entry["file_name"] = name.format(entry["file_name"])
        path.write_text(json.dumps(content))
    assert [entry.path.name for entry in find_detection(root, "val").pictures] == [f"{n}.png" for n in range(100, 104)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_with_a_mark_is_read(root, encoding):
    path = root / "annotations" / "instances_val.json"
    path.write_bytes(path.read_text().encode(encoding))
    assert find_detection(root, "val").classes == ("square",)


@pytest.mark.parametrize(
    "told", [{"width": 0, "height": 0}, {"width": None}, {"width": -1, "height": "80"}, {"height": ""}]
)
def test_a_size_that_is_not_told_is_the_pictures(changed, told):
    told = {**told, "height": "60"} if told.get("height") == "80" else told
    data = changed(first("images", **told))
    assert data.pictures[0].size == (80, 60)
    assert len(data.pictures[0].boxes) == 1


def test_a_size_that_is_not_the_pictures_is_refused(changed):
    with pytest.raises(
        DataError, match=r"(?s)1 of 4 pictures .*100\.png has 80 × 60 pixels; its annotation says 81 × 60"
    ):
        changed(first("images", width=81))


def test_a_size_before_the_turn_of_the_picture_is_refused_with_the_choice(root, changed):
    path, exif = root / "images" / "val" / "100.png", Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.zeros((60, 80, 3), dtype=np.uint8)).save(path, exif=exif)
    with pytest.raises(DataError, match=r"(?s)100\.png has 60 × 80 pixels; its annotation says 80 × 60.*exiftool"):
        changed(lambda content: None)
    (root / "annotations/instances_val.json").write_text(
        (root / "annotations/instances_val.json")
        .read_text()
        .replace('"width": 80, "height": 60', '"width": 60, "height": 80', 1)
    )
    assert find_detection(root, "val").pictures[0].size == (60, 80)


def test_damaged_pictures_are_named(root):
    (root / "images" / "val" / "102.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"(?s)1 of 4 pictures of .* cannot be read:.*102\.png"):
        find_detection(root, "val")
