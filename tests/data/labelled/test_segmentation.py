import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.labelled.segmentation import (
    CAMVID_CLASSES,
    CITYSCAPES_CLASSES,
    IGNORED,
    VOC_CLASSES,
    find_segmentation,
)
from sslhsic_transfer.errors import DataError
from tests.data.labelled.paired import paired, picture, png
from tests.dense_data import CLASSES, mask_of, scene, segmentation_lists


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


def test_pictures_that_cannot_be_read_here_are_told(tmp_path):
    source = tmp_path / "images" / "val"
    picture(source / "a.jpg", 1, 2)
    png(tmp_path / "masks" / "val" / "a.png", [[0, 1]])
    (tmp_path / "classes.txt").write_text("grass\nsky\n")
    for name in ("b.heic", "deep/c.JXL"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    words = rf"2 pictures of {source} are passed over; Pillow reads no \.heic, \.jxl here, such as {source}/b\.heic"
    with pytest.warns(UserWarning, match=words) as told:
        assert len(find_segmentation(tmp_path, "val")) == 1
    assert len(told) == 1
    (source / "a.jpg").unlink()
    with pytest.raises(DataError, match=rf"{source} holds no pictures; Pillow reads no \.heic, \.jxl here"):
        find_segmentation(tmp_path, "val")


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
