import pickle

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sslhsic_transfer.adapters.data.depth import find_depth
from sslhsic_transfer.errors import DataError
from tests.dense_data import SIZE, depth_lists, mask_of, scene


def test_lists_in_millimetres_and_other_units(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    data = find_depth(root, "train")
    assert (data.name, data.split, len(data), data.names[0]) == ("scenes", "train", 8, "rgb/0.png")
    depth, square = data.read_depth(5), mask_of(scene(5)[1]) == 1
    assert depth.dtype == np.float32
    assert (depth[0] == 0).all()
    assert (depth[1:] == np.where(square, 1, 3)[1:]).all()
    assert data.read_picture(5).size == SIZE
    assert find_depth(root, "train", units_per_metre=500).read_depth(5)[1:].max() == 6


def test_kitti_leaves_out_pictures_without_depth(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    (root / "train.txt").write_text("rgb/0.png depth/0.png 721.5\nrgb/1.png None 721.5\n")
    data = find_depth(root, "train", "kitti")
    assert len(data) == 1
    assert data.read_depth(0).max() == 3000 / 256


def test_nyu_stores_columns_first(tmp_path):
    images, depths = np.zeros((3, 3, 6, 4), dtype=np.uint8), np.zeros((3, 6, 4), dtype=np.float32)
    images[2, 0, 5, 1], depths[2, 5, 1] = 200, 2.5  # red, at column 5 and row 1
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["depths"] = images, depths
    savemat(tmp_path / "splits.mat", {"trainNdxs": [[1], [2]], "testNdxs": [[3]]})
    data = find_depth(tmp_path, "test", "nyu")
    assert data.names == ("0003",)
    assert data.read_picture(0).size == (6, 4)
    assert data.read_picture(0).getpixel((5, 1)) == (200, 0, 0)
    assert data.read_depth(0)[1, 5] == 2.5
    assert len(find_depth(tmp_path, "train", "nyu")) == 2
    with pytest.raises(DataError, match=r"no split 'val'; expected train or test"):
        find_depth(tmp_path, "val", "nyu")
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"cannot be read as HDF5"):
        data.read_depth(0)


def test_diode_masks_what_is_not_valid(tmp_path):
    place = tmp_path / "val" / "indoors"
    place.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(place / "a.png")
    np.save(place / "a_depth.npy", np.array([[[1.0], [2.0], [np.nan]], [[4.0], [5.0], [6.0]]], dtype=np.float32))
    np.save(place / "a_depth_mask.npy", np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))
    data = find_depth(tmp_path, "val", "diode")
    assert data.read_depth(0).tolist() == [[1, 0, 0], [4, 5, 6]]
    np.save(place / "a_depth_mask.npy", np.ones((1, 2)))
    with pytest.raises(DataError, match=r"shape \(2, 3\) and its mask \(1, 2\)"):
        data.read_depth(0)
    (place / "a_depth_mask.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 2 files .* are not there"):
        find_depth(tmp_path, "val", "diode")


def test_pictures_of_eight_bits_are_no_depth(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    data = find_depth(root, "val")
    Image.new("L", SIZE).save(root / "depth" / "100.png")
    with pytest.raises(DataError, match=r"mode L; expected a 16-bit PNG"):
        data.read_depth(0)
    (root / "depth" / "100.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"100\.png cannot be read"):
        data.read_depth(0)
    with pytest.raises(DataError, match=r"no split 'test' in any known layout"):
        find_depth(root, "test")


def test_workers_can_have_it(tmp_path):
    data = pickle.loads(pickle.dumps(find_depth(depth_lists(tmp_path / "scenes"), "val")))
    assert data.read_depth(0).shape == SIZE[::-1]


def test_real_depth(data_root):
    data = find_depth(data_root / "redkitchen_depth", "test")
    depth = np.stack([data.read_depth(index) for index in range(len(data))])
    assert depth.shape == (45, 210, 280)
    assert 0.7 < depth[depth > 0].min() < depth.max() < 4
    assert 0.9 < (depth > 0).mean() < 0.94


def test_a_split_of_diode_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="val"):
        find_depth(tmp_path, "val", "diode")
