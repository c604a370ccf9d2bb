import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.errors import DataError
from tests.dense_data import VOC_OBJECT

CAT = VOC_OBJECT.format(11, 11, 40, 40, name="cat", difficult=0)
SIZE = "<size><width>96</width><height>64</height></size>"


def voc(root, objects=CAT, *, name="a", listed=None, suffix=".jpg", size=SIZE, extra=""):
    """Write one picture of 96 × 64 pixels, with the given name, suffix and annotation."""
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    picture = root / "JPEGImages" / f"{name}{suffix}"
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((64, 96, 3), dtype=np.uint8)).save(picture)
    annotation = root / "Annotations" / f"{name}.xml"
    annotation.parent.mkdir(parents=True, exist_ok=True)
    annotation.write_text(f"<annotation>{extra}{size}{objects}</annotation>")
    (root / "ImageSets/Main/train.txt").write_text(f"{name if listed is None else listed}\n")
    return root


def boxed(*corners, **values):
    return VOC_OBJECT.format(*corners, **{"name": "cat", "difficult": 0, **values})


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".png", ".bmp"])
@pytest.mark.parametrize("name", ["a", "my cat", "b.c", "2007_000027"])
def test_pictures_are_found_by_their_names(tmp_path, name, suffix):
    (entry,) = find_detection(voc(tmp_path, name=name, suffix=suffix), "train").pictures
    assert (entry.path.name, entry.boxes.tolist()) == (f"{name}{suffix}", [[10, 10, 40, 40]])


@pytest.mark.parametrize(
    "listed",
    ["a", "a 1", "a  -1", "a\t1", "a,1", "a.jpg", "a.jpg 0", "JPEGImages/a.jpg", "C:\\VOC\\JPEGImages\\a.jpg", '"a"'],
)
def test_lists_may_say_more_than_the_name(tmp_path, listed):
    assert len(find_detection(voc(tmp_path, listed=listed), "train")) == 1


@pytest.mark.parametrize(
    ("parts", "has"), [("<polygon><x1>1</x1></polygon>", "name, polygon"), ("<robndbox/>", "name, robndbox")]
)
def test_objects_without_a_box_tell_what_they_have(tmp_path, parts, has):
    root = voc(tmp_path, f"<object><name>cat</name>{parts}</object>")
    with pytest.raises(DataError, match=rf"a\.xml: object 1 has no bndbox; it has {has}\. Expected the corners"):
        find_detection(root, "train")


def test_fractions_of_the_pictures_are_no_pixels(tmp_path):
    root = voc(tmp_path, boxed(0.2, 0.1, 0.9, 0.8))
    with pytest.raises(DataError, match="fractions of width and height"):
        find_detection(root, "train")


def test_two_lines_that_would_lead_to_one_picture_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2: y/a\.jpg and x/a\.jpg are both called a"):
        find_detection(voc(tmp_path, listed="x/a.jpg\ny/a.jpg"), "train")


def test_the_annotation_tells_which_of_several_pictures_is_meant(tmp_path):
    root = voc(tmp_path, suffix=".png")
    voc(tmp_path, suffix=".bmp")
    with pytest.raises(DataError, match=r"JPEGImages holds a\.bmp and a\.png; expected one picture a"):
        find_detection(root, "train")
    voc(tmp_path, suffix=".bmp", extra="<filename>a.png</filename>")
    assert find_detection(root, "train").pictures[0].path.suffix == ".png"
    voc(tmp_path / "b", extra="<filename>D:\\pictures\\other.webp</filename>")
    (tmp_path / "b/JPEGImages/a.jpg").rename(tmp_path / "b/JPEGImages/other.webp")
    assert find_detection(tmp_path / "b", "train").pictures[0].path.name == "other.webp"


def test_a_picture_that_is_not_there_is_named_with_what_is(tmp_path):
    root = voc(tmp_path, name="A", suffix=".png")
    (root / "Annotations/A.xml").rename(root / "Annotations/b.xml")
    (root / "ImageSets/Main/train.txt").write_text("b\n")
    with pytest.raises(DataError, match=r"such as .*b\.jpg \(JPEGImages holds A\.png\)"):
        find_detection(root, "train")
    for line, name in (("c", "c"), ("c -1", "c"), ("my cat", "my cat"), ("my cat 2", "my cat 2")):
        (root / "ImageSets/Main/train.txt").write_text(f"{line}\n")
        with pytest.raises(DataError, match=rf"such as .*/{name}\.xml \(Annotations holds b\.xml\)"):
            find_detection(root, "train")


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((40, 40, 11, 11), [10, 10, 40, 40]),
        ((40, 11, 11, 40), [10, 10, 40, 40]),
        ((0, 0, 96.5, 64), [0, 0, 96, 64]),
        ((7, 7, 7, 7), [6, 6, 7, 7]),
        (("  11.5", "11\n", "40 ", 40), [10.5, 10, 40, 40]),
    ],
)
def test_corners_are_put_in_order(tmp_path, corners, expected):
    assert find_detection(voc(tmp_path, boxed(*corners)), "train").pictures[0].boxes.tolist() == [expected]


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "", "left", "1,5", "1_0", "1e999"])
def test_corners_that_are_no_numbers_are_named(tmp_path, odd):
    with pytest.raises(DataError, match=r"a\.xml: ymin of object 2 is .*; expected a finite number"):
        find_detection(voc(tmp_path, CAT + boxed(11, odd, 40, 40)), "train")


@pytest.mark.parametrize(
    ("flag", "ignored"),
    [("1", True), (" 1 ", True), ("true", True), ("True", True), ("0", False), ("", False), ("no", False)],
)
def test_difficult_is_read_as_what_it_says(tmp_path, flag, ignored):
    data = find_detection(voc(tmp_path, boxed(11, 11, 40, 40, difficult=flag)), "train")
    assert data.pictures[0].ignored.tolist() == [ignored]


def test_other_flags_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.xml: difficult of object 1 is '2'; expected 0 or 1"):
        find_detection(voc(tmp_path, boxed(11, 11, 40, 40, difficult="2")), "train")


def test_names_of_classes_lose_their_blanks_and_equal_ones_are_one(tmp_path):
    objects = "".join(
        boxed(11, 11, 40, 40, name=name) for name in (" cat ", "\ncat\n", " big \n cat", "cafe\u0301", "caf\u00e9")
    )
    data = find_detection(voc(tmp_path, objects), "train")
    assert (data.classes, data.pictures[0].labels.tolist()) == (("big cat", "caf\u00e9", "cat"), [2, 2, 0, 1, 1])
    with pytest.raises(DataError, match=r"a\.xml: object 1 is ''"):
        find_detection(voc(tmp_path / "b", boxed(1, 1, 2, 2, name=" ") + CAT), "train")


@pytest.mark.parametrize("size", ["", "<size/>", SIZE.replace("96", "0").replace("64", "0"), SIZE.replace("64", "")])
def test_a_size_that_is_not_told_is_the_pictures(tmp_path, size):
    (entry,) = find_detection(voc(tmp_path, size=size), "train").pictures
    assert (entry.size, entry.boxes.tolist()) == ((96, 64), [[10, 10, 40, 40]])


def test_a_size_that_is_not_the_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"(?s)a\.jpg has 96 × 64 pixels; its annotation says 96 × 46"):
        find_detection(voc(tmp_path, size=SIZE.replace("64", "46")), "train")


def test_hidden_files_are_no_annotations(tmp_path):
    (voc(tmp_path) / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7")
    assert find_detection(tmp_path, "train").classes == ("cat",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_xml_with_a_mark_is_read(tmp_path, encoding):
    path = voc(tmp_path) / "Annotations" / "a.xml"
    path.write_bytes(path.read_text().replace("cat", "Kätzchen").encode(encoding))
    assert find_detection(tmp_path, "train").classes == ("Kätzchen",)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is not XML: it is empty"),
        (b"<annotation>", "is not XML"),
        (b"<annotation>K\xe4tzchen</annotation>", "is not XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "is not XML"),
        (b"<html><body>404</body></html>", r"is not VOC's: it holds <html>; expected <annotation>"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not XML: it is a Git LFS pointer"),
    ],
)
def test_what_is_not_vocs_xml_is_named(tmp_path, content, found):
    (voc(tmp_path) / "Annotations" / "a.xml").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.xml {found}"):
        find_detection(tmp_path, "train")
