import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from sslhsic_transfer.adapters.mmseg import SSLHSICDataset
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import ConfigError, DataError

LOAD = [{"type": "LoadImageFromFile", "imdecode_backend": "pillow"}, {"type": "LoadSSLHSICMask"}]
PACK = {"type": "PackSegInputs"}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope("mmseg")


def test_real_pictures_and_masks_are_those_of_our_readers(camvid):
    data = camvid("train", 6)
    dataset = SSLHSICDataset(data=data, pipeline=[*LOAD, PACK])
    assert len(dataset) == 6
    assert tuple(dataset.metainfo["classes"]) == data.classes
    for index, (path, _) in enumerate(data.pairs):
        example = dataset[index]
        mask = data.read_mask(index)
        assert 255 in mask
        np.testing.assert_array_equal(example["data_samples"].gt_sem_seg.data[0].numpy(), mask)
        rgb = example["inputs"].flip(0).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(rgb, np.asarray(load_image(path).convert("RGB")))


def test_it_is_built_of_a_folder_and_a_split(made):
    options = {"type": "SSLHSICDataset", "data_root": str(made), "split": "val", "pipeline": [*LOAD, PACK]}
    dataset = DATASETS.build(options)
    data = find_segmentation(made, "val")
    assert [record["img_path"] for record in map(dataset.get_data_info, range(2))] == [str(p) for p, _ in data.pairs]
    part = DATASETS.build(dict(**options, indices=[1]))
    np.testing.assert_array_equal(part[0]["data_samples"].gt_sem_seg.data[0].numpy(), data.read_mask(1))


def test_numbers_of_the_classes_may_be_told(made):
    dataset = SSLHSICDataset(made, "train", mask_values=[2, 255, 0], pipeline=[*LOAD, PACK])
    own = find_segmentation(made, "train").read_mask(0)
    expected = np.select([own == 2, own == 255, own == 0], [0, 1, 2], 255)
    np.testing.assert_array_equal(dataset[0]["data_samples"].gt_sem_seg.data[0].numpy(), expected)


def test_masks_go_through_mmsegs_transforms_with_their_pictures(made):
    steps = [{"type": "SSLHSICRandomScale", "ratio_range": (2.0, 2.0)}, {"type": "RandomFlip", "prob": 1.0}, PACK]
    dataset = SSLHSICDataset(made, "train", pipeline=[*LOAD, *steps])
    picture, mask = dataset[0]["inputs"], dataset[0]["data_samples"].gt_sem_seg.data
    assert picture.shape == (3, 160, 192)
    assert mask.shape == (1, 160, 192)
    expected = dataset.data.read_mask(0)[:, ::-1].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(mask[0].numpy(), expected)


def test_scales_are_relative_to_the_picture_and_random(made):
    pipeline = [*LOAD, {"type": "SSLHSICRandomScale", "ratio_range": (0.5, 2.0)}, PACK]
    dataset = SSLHSICDataset(made, "train", pipeline=pipeline)
    np.random.seed(0)
    heights = {dataset[0]["inputs"].shape[1] for _ in range(30)}
    assert 40 <= min(heights) < 60
    assert 120 < max(heights) <= 160


def test_scales_may_be_of_a_short_side(made):
    scale = {"type": "SSLHSICRandomScale", "ratio_range": (1.0, 1.0), "short_side": 40}
    assert SSLHSICDataset(made, "train", pipeline=[*LOAD, scale, PACK])[0]["inputs"].shape == (3, 40, 48)


def test_what_cannot_be_is_refused(made, camvid):
    for options in ({}, {"data_root": str(made), "data": camvid("train", 1)}):
        with pytest.raises(ConfigError, match="expected one of them"):
            SSLHSICDataset(**options)
    with pytest.raises(DataError, match="no split 'test'"):
        SSLHSICDataset(str(made), "test")
