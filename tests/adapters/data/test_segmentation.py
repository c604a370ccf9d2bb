import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.adapters.data.segmentation import (
    CAMVID_CLASSES,
    CITYSCAPES_CLASSES,
    IGNORED,
    VOC_CLASSES,
    find_segmentation,
)
from sslhsic_transfer.errors import ConfigError, DataError
from tests.dense_data import CLASSES, mask_of, scene, segmentation_lists


def png(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, dtype=np.uint8))
    if mode == "P":
        image = image.convert("L")
        image.putpalette([0, 0, 0, 128, 0, 0] * 128)
    image.save(path)


def picture(path, height=4, width=6):
    png(path, np.zeros((height, width, 3)))


def test_lists(tmp_path):
    data = find_segmentation(segmentation_lists(tmp_path / "scenes"), "train")
    assert (data.name, data.split, data.classes, len(data)) == ("scenes", "train", CLASSES, 8)
    mask = data.read_mask(3)
    assert (mask[0] == IGNORED).all()
    assert np.array_equal(mask[1:], mask_of(scene(3)[1])[1:])


def test_voc_with_a_palette_and_borders(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    picture(root / "JPEGImages" / "a.jpg")
    mask = np.full((4, 6), 20, dtype=np.uint8)
    mask[0] = 255
    for folder in ("SegmentationClass", "SegmentationClassAug"):
        png(root / folder / "a.png", mask, "P" if folder == "SegmentationClass" else None)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split in ("val", "train_aug"):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("a\n")
        data = find_segmentation(tmp_path, split)
        assert data.classes == VOC_CLASSES
        assert data.pairs[0][1].parent.name == ("SegmentationClassAug" if split == "train_aug" else "SegmentationClass")
        assert np.array_equal(data.read_mask(0), mask)


def test_ade20k_counts_from_one(tmp_path):
    picture(tmp_path / "images" / "training" / "a.jpg", 2, 5)
    png(tmp_path / "annotations" / "training" / "a.png", [[0, 1, 2, 3, 255]] * 2)
    lines = ["Idx\tRatio\tTrain\tVal\tName", "1\t0.1\t1\t1\twall", "2\t0.1\t1\t1\tbuilding, edifice"]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(lines))
    data = find_segmentation(tmp_path, "training")
    assert data.classes == ("wall", "building")
    assert data.read_mask(0).tolist() == [[IGNORED, 0, 1, IGNORED, IGNORED]] * 2


def test_cityscapes_numbers_become_the_nineteen_classes(tmp_path):
    picture(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_0_leftImg8bit.png", 1, 5)
    png(tmp_path / "gtFine" / "val" / "ulm" / "ulm_0_gtFine_labelIds.png", [[7, 33, 0, 26, 16]])
    data = find_segmentation(tmp_path, "val")
    names = [None if value == IGNORED else CITYSCAPES_CLASSES[value] for value in data.read_mask(0)[0]]
    assert names == ["road", "bicycle", None, "car", None]


def test_folders(tmp_path):
    picture(tmp_path / "images" / "val" / "deep" / "a.jpg", 1, 2)
    png(tmp_path / "masks" / "val" / "deep" / "a.png", [[0, 1]])
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    assert find_segmentation(tmp_path, "val").read_mask(0).tolist() == [[0, 1]]


def test_what_cannot_be_used_is_named(tmp_path):
    root = segmentation_lists(tmp_path / "scenes")
    with pytest.raises(DataError, match=r"(?s)no split 'test' in any known layout .*SPLIT.txt with"):
        find_segmentation(root, "test")
    with pytest.raises(DataError, match=r"in the layout voc"):
        find_segmentation(root, "train", "voc")
    with pytest.raises(DataError, match=r"expected auto or one of lists, voc, ade20k"):
        find_segmentation(root, "train", "pascal")
    with pytest.raises(DataError, match=r"is not a folder"):
        find_segmentation(tmp_path / "nowhere", "train")

    data = find_segmentation(root, "train")
    png(data.pairs[0][1], np.zeros((60, 80, 3)))
    with pytest.raises(DataError, match=r"has 3 channels"):
        data.read_mask(0)
    png(data.pairs[0][1], np.full((60, 80), 77))
    with pytest.raises(DataError, match=r"holds the class number 77; expected 0 to 1, or 2 or 255"):
        data.read_mask(0)
    data.pairs[0][1].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        data.read_mask(0)

    data.pairs[1][0].unlink()
    with pytest.raises(DataError, match=r"1 of 16 files that .*train\.txt names are not there, such as .*1\.png"):
        find_segmentation(root, "train")
    (root / "train.txt").write_text("alone.png\n")
    with pytest.raises(DataError, match=r"line 1: got 'alone\.png'; expected 2 columns"):
        find_segmentation(root, "train")
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"no classes\.txt: write one"):
        find_segmentation(root, "val")


def test_camvid(data_root):
    data = find_segmentation(data_root / "camvid", "val")
    assert (len(data), len(data.classes)) == (101, 11)
    found = set(np.unique(np.stack([data.read_mask(index) for index in range(0, 101, 10)])))
    assert found <= {*range(11), IGNORED}
    assert len(found) == 12


def paired(root, masks, classes="ground\nobject\n", split="train", size=None):
    """A data set in folders: masks, and pictures of their sizes or of one size."""
    for number, mask in enumerate(masks):
        height, width = size or np.shape(mask)
        picture(root / "images" / split / f"{number}.jpg", height, width)
        png(root / "masks" / split / f"{number}.png", mask)
    (root / "classes.txt").write_text(classes)
    return root


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


def test_masks_of_another_size_are_named_with_their_pictures(tmp_path):
    root = paired(tmp_path, [[[0, 1]]] * 5, size=(2, 4))
    with pytest.raises(
        DataError, match=r"(?s)5 of 5 masks .*0\.jpg has 4 × 2 pixels and its mask .*0\.png 2 × 1; .* 2 more"
    ):
        find_segmentation(root, "train")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (2, 1)).save(root / "images/train/0.jpg", exif=exif)
    with pytest.raises(
        DataError, match=r"0\.jpg has 1 × 2 pixels and .* 2 × 1; .* orientation turns it: turn the mask"
    ):
        find_segmentation(root, "train")
    (root / "masks/train/0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"masks/train/0\.png cannot be read: cannot identify image file"):
        find_segmentation(root, "train")
    (root / "masks/train/0.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(
        DataError, match=r"masks/train/0\.png cannot be read: it is a Git LFS pointer, .*`git lfs pull`"
    ):
        find_segmentation(root, "train")
    (root / "images/train/0.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 5 pictures of .* cannot be read:\n  Cannot read .*0\.jpg"):
        find_segmentation(root, "train")


def test_masks_with_another_suffix_are_named(tmp_path):
    root = paired(tmp_path, [[[0, 1]]])
    (root / "masks/train/0.png").rename(root / "masks/train/0.bmp")
    with pytest.raises(DataError, match=r"such as .*0\.png \(train holds 0\.bmp\)"):
        find_segmentation(root, "train")


FRAMES = ("0001TP_006690", "0016E5_07959", "Seq05VD_f00000", "0006R0_f00930")


def test_camvid_as_segnet_releases_it(tmp_path):
    """The paths begin on SegNet's own machine, and there is no classes.txt."""
    lines = []
    for number, frame in enumerate(FRAMES):
        picture(tmp_path / "train" / f"{frame}.png", 3, 4)
        png(tmp_path / "trainannot" / f"{frame}.png", [[number, 4, 8, 11]] * 3)
        lines.append(f"/SegNet/CamVid/train/{frame}.png /SegNet/CamVid/trainannot/{frame}.png\n")
    (tmp_path / "train.txt").write_text("".join(lines))
    data = find_segmentation(tmp_path, "train")
    assert (len(data), len(data.classes)) == (4, 11)
    names = [[*data.classes, "void"][min(value, 11)] for value in data.read_mask(2)[0]]
    assert names == ["pole", "pavement", "car", "void"]
    assert find_segmentation(tmp_path, "train").pairs[3][0].name == "0006R0_f00930.png"
    (tmp_path / "trainannot").rename(tmp_path / "labels")
    (tmp_path / "train.txt").write_text("".join(lines).replace("trainannot", "labels"))
    with pytest.raises(DataError, match=r"no classes\.txt: write one"):
        find_segmentation(tmp_path, "train")


def test_camvids_classes_are_those_of_the_copy_with_names(data_root):
    assert find_segmentation(data_root / "camvid", "val").classes == CAMVID_CLASSES


def test_voc_names_with_blanks_and_pictures_with_other_suffixes(tmp_path):
    picture(tmp_path / "JPEGImages" / "my cat.png")
    png(tmp_path / "SegmentationClass" / "my cat.png", np.full((4, 6), 8))
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("my cat\n")
    ((found, mask),) = find_segmentation(tmp_path, "val").pairs
    assert (found.name, mask.name) == ("my cat.png", "my cat.png")


def test_ade20k_tells_classes_with_one_first_word_apart(tmp_path):
    root = paired(tmp_path, [[[1, 2]]])
    (root / "masks").rename(root / "annotations")
    (root / "objectInfo150.txt").write_bytes("Idx\tName\n1\tdoor\n2\tdoor, screen door\n".encode("utf-8-sig"))
    assert find_segmentation(root, "train").classes == ("door", "door, screen door")
