import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.labelled.segmentation import IGNORED, find_segmentation
from sslhsic_transfer.errors import ConfigError, DataError
from tests.data.labelled.paired import paired


def test_black_and_white_masks_are_refused_until_their_values_are_told(tmp_path):
    root = paired(tmp_path, [[[0, 255], [0, 0]], [[0, 0], [0, 0]]])
    said = (
        r"No pixel has the class object: 2 masks of train of .* hold 0, 255, where 255 means ignored\. .*=\[0,255\]\."
    )
    with pytest.raises(DataError, match=said):
        find_segmentation(root, "train")
    data = find_segmentation(root, "train", mask_values=(0, 255))
    assert data.read_mask(0).tolist() == [[0, 1], [0, 0]]
    assert data.read_mask(1).tolist() == [[0, 0], [0, 0]]


def test_one_class_and_ignored_pixels_teach_nothing_however_many_classes_have_names(tmp_path):
    root = paired(tmp_path, [[[0, 255]]], "ground\nobject\nsky\n")
    with pytest.raises(
        DataError, match=r"No pixel has the class object, sky: 1 masks .* of ground, object, sky has there\."
    ):
        find_segmentation(root, "train")


@pytest.mark.parametrize(
    ("mask", "suggested"), [([[1, 2]], r"\[1,2\]"), ([[0, 2]], r"\[0,2\]"), ([[1, 255, 2]], r"has there\.$")]
)
def test_other_numbers_that_teach_one_class_only(tmp_path, mask, suggested):
    with pytest.raises(DataError, match=f"No pixel has the class .*{suggested}"):
        find_segmentation(paired(tmp_path, [mask]), "train")


def test_any_numbers_can_be_told_and_the_others_are_ignored(tmp_path):
    root = paired(tmp_path, [[[7, 3, 0, 255]]])
    Image.fromarray(np.array([[7, 300, 0, 255]], dtype=np.uint16)).save(root / "masks/train/0.png")
    assert find_segmentation(root, "train", mask_values=[300, 7]).read_mask(0).tolist() == [[1, 0, IGNORED, IGNORED]]
    for odd in ([0], [0, 0], [0, -1], [0, 1, 2]):
        with pytest.raises(ConfigError, match=r"expected a different number from 0 on for each of the 2 classes"):
            find_segmentation(root, "train", mask_values=odd)


def test_told_numbers_may_leave_a_class_without_a_pixel(tmp_path, caplog):
    data = find_segmentation(paired(tmp_path, [[[0, 255]]]), "train", mask_values=[0, 1])
    assert data.read_mask(0).tolist() == [[0, IGNORED]]
    assert "No pixel has the class object: 1 masks of train" in caplog.text


def test_classes_that_never_occur_are_told(tmp_path, caplog):
    root = paired(tmp_path, [[[0, 1, 255]]], "ground\nobject\nsky\n")
    assert len(find_segmentation(root, "train")) == 1
    assert "No pixel has the class sky: 1 masks of train of" in caplog.text
    caplog.clear()
    find_segmentation(paired(tmp_path / "whole", [[[0, 1, 255]]]), "train")
    assert not caplog.records


def test_black_and_white_masks_among_others_are_told(tmp_path, caplog):
    find_segmentation(paired(tmp_path, [[[0, 1]], [[0, 255]], [[0, 255]], [[0, 0]], [[1, 255]]]), "train")
    assert "2 of 5 masks of train of" in caplog.text
    assert "hold 0 and 255 and never 1, such as" in caplog.text
    assert "1.png: where 255 is a class there, write 1." in caplog.text


def test_numbers_that_are_no_class_are_told_but_for_what_is_declared(tmp_path, caplog):
    root = paired(tmp_path, [[[0, 1, 2, 255]]])
    find_segmentation(root, "train")
    assert "Masks of train of" in caplog.text
    assert "hold 2, which is no class and is ignored" in caplog.text
    caplog.clear()
    (root / "classes.txt").write_text("ground\nobject\nVoid\n")
    find_segmentation(root, "train")
    assert not caplog.records
    find_segmentation(root, "train", mask_values=[1, 2])
    assert "hold 0, which is no class and is ignored" in caplog.text


@pytest.mark.parametrize("layout", ["folders", "ade20k"])
def test_splits_that_are_all_ignored_are_refused(tmp_path, layout):
    if layout == "folders":
        root = paired(tmp_path, [[[255, 255]], [[2, 255]]])
    else:
        root = paired(tmp_path, [[[0, 0]]])
        (root / "masks").rename(root / "annotations")
        (root / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n2\tdoor\n")
    with pytest.raises(DataError, match=r"Every pixel is ignored: \d masks of train of .* hold"):
        find_segmentation(root, "train")


def test_numbers_beyond_the_classes_are_refused_before_anything_is_trained(tmp_path):
    root = paired(tmp_path, [[[0, 1]], [[0, 128]]])
    with pytest.raises(DataError, match=r"1\.png holds the class number 128; expected 0 to 1, or 2 or 255"):
        find_segmentation(root, "train")


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ("ground\n", r"has 1 class\(es\): ground; expected 2 to 255"),
        ("void\n", r"has 0 class\(es\): nothing; expected 2 to 255"),
        ("\n", r"has an empty classes\.txt: write one"),
        ("".join(f"{number}\n" for number in range(256)), r"has 256 class\(es\).* expected 2 to 255"),
        ("ground\nobject\n\nground\n", r"classes\.txt names the class 'ground' on the lines 1 and 4"),
    ],
)
def test_classes_that_masks_cannot_hold_are_refused(tmp_path, classes, found):
    with pytest.raises(DataError, match=found):
        find_segmentation(paired(tmp_path, [[[0, 1]]], classes), "train")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([[-1, 1]], dtype=np.int32), "numbers below 0"),
        (np.array([[0.5, 1]], dtype=np.float32), "numbers of type float32"),
    ],
)
def test_numbers_that_are_no_classes_are_refused(tmp_path, values, found):
    root = paired(tmp_path, [[[0, 1]]])
    Image.fromarray(values).save(root / "masks/train/0.png", format="TIFF")
    with pytest.raises(DataError, match=rf"0\.png holds {found}; expected class numbers"):
        find_segmentation(root, "train")


def test_masks_of_one_bit_hold_two_classes(tmp_path):
    root = paired(tmp_path, [[[0, 1]]])
    Image.fromarray(np.array([[False, True]])).save(root / "masks/train/0.png")
    assert find_segmentation(root, "train").read_mask(0).tolist() == [[0, 1]]
