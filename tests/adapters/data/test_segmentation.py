import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.adapters.data.segmentation import CITYSCAPES_CLASSES, IGNORED, VOC_CLASSES, find_segmentation
from sslhsic_transfer.errors import DataError
from tests.dense_data import CLASSES, mask_of, scene, segmentation_lists


def png(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, dtype=np.uint8))
    if mode == "P":
        image = image.convert("L")
        image.putpalette([0, 0, 0, 128, 0, 0] * 128)
    image.save(path)


def picture(path):
    png(path, np.zeros((4, 6, 3)))


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
    picture(tmp_path / "images" / "training" / "a.jpg")
    png(tmp_path / "annotations" / "training" / "a.png", [[0, 1, 2, 3, 255]] * 2)
    lines = ["Idx\tRatio\tTrain\tVal\tName", "1\t0.1\t1\t1\twall", "2\t0.1\t1\t1\tbuilding, edifice"]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(lines))
    data = find_segmentation(tmp_path, "training")
    assert data.classes == ("wall", "building")
    assert data.read_mask(0).tolist() == [[IGNORED, 0, 1, IGNORED, IGNORED]] * 2


def test_cityscapes_numbers_become_the_nineteen_classes(tmp_path):
    picture(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_0_leftImg8bit.png")
    png(tmp_path / "gtFine" / "val" / "ulm" / "ulm_0_gtFine_labelIds.png", [[7, 33, 0, 26, 16]])
    data = find_segmentation(tmp_path, "val")
    names = [None if value == IGNORED else CITYSCAPES_CLASSES[value] for value in data.read_mask(0)[0]]
    assert names == ["road", "bicycle", None, "car", None]


def test_folders(tmp_path):
    picture(tmp_path / "images" / "val" / "deep" / "a.jpg")
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
