import pickle

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.errors import DataError
from tests.dense_data import SIZE, depth_lists, mask_of, scene


def test_lists_in_millimeters_and_other_units(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    data = find_depth(root, "train")
    assert (data.name, data.split, len(data), data.names[0]) == ("scenes", "train", 8, "rgb/0.png")
    depth, square = data.read_depth(5), mask_of(scene(5)[1]) == 1
    assert depth.dtype == np.float32
    assert (depth[0] == 0).all()
    assert (depth[1:] == np.where(square, 1, 3)[1:]).all()
    assert data.read_picture(5).size == SIZE
    assert find_depth(root, "train", units_per_meter=500).read_depth(5)[1:].max() == 6


def test_kitti_leaves_out_pictures_without_depth(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    (root / "train.txt").write_text("rgb/0.png depth/0.png 721.5\nrgb/1.png None 721.5\n")
    data = find_depth(root, "train", "kitti")
    assert len(data) == 1
    assert data.read_depth(0).max() == 3000 / 256


def test_a_damaged_array_is_told_in_a_line(tmp_path):
    picture, depth, mask = (tmp_path / "val" / name for name in ("a.png", "a_depth.npy", "a_depth_mask.npy"))
    picture.parent.mkdir()
    Image.new("RGB", (80, 60)).save(picture)
    for path in (depth, mask):
        np.save(path, np.ones((60, 80)))
    content = bytearray(mask.read_bytes())
    content[8:] = (9000).to_bytes(2, "little") + bytes(9000)  # a header that NumPy would show
    mask.write_bytes(content)
    with pytest.raises(DataError, match=r"a_depth_mask\.npy cannot be read: Cannot parse header") as told:
        find_depth(tmp_path, "val", "diode").read_depth(0)
    assert len(str(told.value)) < 600


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


def nyu(root, images=(3, 3, 6, 4), depths=(3, 6, 4), value=1.0, **splits):
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.zeros(images, dtype=np.uint8)
        file["depths"] = np.full(depths, value, dtype=np.float32)
    savemat(root / "splits.mat", {f"{name}Ndxs": values for name, values in splits.items()})
    return root


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (
            "nyu_depth_v2_labeled.mat",
            b"<html>not found</html>",
            r"HDF5 .*: it begins with '<html>not found</html>': it is a web",
        ),
        ("nyu_depth_v2_labeled.mat", b"", r"HDF5 .*: it is empty"),
        (
            "nyu_depth_v2_labeled.mat",
            b"version https://git-lfs.github.com/spec/v1\n",
            r"Git LFS pointer, .*git lfs pull",
        ),
        ("splits.mat", b"<html>" * 99, r"splits\.mat cannot be read as a Matlab file: it begins with '<html>"),
        ("splits.mat", b"", r"splits\.mat cannot be read as a Matlab file: it is empty"),
        ("splits.mat", b"version https://git-lfs.github.com/spec/v1\n" * 9, r"splits\.mat .*Git LFS pointer"),
    ],
)
def test_files_of_nyu_that_are_something_else_are_named(tmp_path, name, content, found):
    nyu(tmp_path, train=[1])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=found):
        find_depth(tmp_path, "train", "nyu")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"train": [0]}, r"has the number 0 in train; .* holds 1 to 3"),
        ({"train": [1, 4]}, r"has the number 4 in train; .* holds 1 to 3"),
        ({"train": [1.5]}, r"trainNdxs holds \[1\.5\]; expected whole numbers"),
        ({"train": "all"}, r"no split 'train'; expected trainNdxs and testNdxs, which it does not hold as numbers"),
        ({}, r"no split 'train'; expected trainNdxs and testNdxs, which it does not hold"),
        ({"train": [1], "depths": (3, 4, 6)}, r"images of the shape \(3, 3, 6, 4\), uint8, and depths of \(3, 4, 6\)"),
    ],
)
def test_parts_of_nyu_that_do_not_fit_are_refused(tmp_path, options, found):
    with pytest.raises(DataError, match=found):
        find_depth(nyu(tmp_path, **options), "train", "nyu")


def test_fields_that_nyus_file_lacks_are_named(tmp_path):
    with h5py.File(nyu(tmp_path, train=[1]) / "nyu_depth_v2_labeled.mat", "w") as file:
        file["rawDepths"] = np.zeros(3)
    with pytest.raises(DataError, match=r"has no field 'images' \(found: rawDepths\)"):
        find_depth(tmp_path, "train", "nyu")


def test_a_damaged_file_of_nyu_is_named(tmp_path):
    path = nyu(tmp_path, train=[1]) / "nyu_depth_v2_labeled.mat"
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])
        try:
            find_depth(tmp_path, "train", "nyu").read_depth(0)
        except DataError:
            refused += 1
    assert refused > 3


def test_depth_of_nyu_below_zero_is_named(tmp_path):
    data = find_depth(nyu(tmp_path, value=-1.0, train=[2]), "train", "nyu")
    with pytest.raises(DataError, match=r"labeled\.mat, number 2, holds the depth -1; expected meters"):
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


NOTHING = r"No pixel of the 4 depth maps of val of scenes has a depth"


@pytest.mark.parametrize(
    ("value", "units", "found"),
    [
        (0, 1000, NOTHING),
        (2000, 1, r"half of them beyond 2e\+03 m; none is from 0\.001 to 10 m .*units_per_meter=1000"),
        (60000, 1000, r"go from 60 to 60 m, .* none is from 0\.001 to 10 m \(protocol\.least, protocol\.cap\)"),
        (2, 65535, r"go from 3\.05e-05 to 3\.05e-05 m"),
    ],
)
def test_depth_that_teaches_nothing_is_refused(tmp_path, value, units, found):
    root = depth_lists(tmp_path / "scenes")
    for path in (root / "depth").iterdir():
        Image.fromarray(np.full(SIZE[::-1], value, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match=found):
        find_depth(root, "val", units_per_meter=units).require_depth(0.001, 10.0)


def test_depth_in_another_unit_is_refused_or_told(tmp_path, caplog):
    root = depth_lists(tmp_path / "scenes")
    with pytest.raises(DataError, match=r"half of them beyond 3e\+03 m\. Expected meters: .* units_per_meter=1000 for"):
        find_depth(root, "val", units_per_meter=1).require_depth(0.001, 80000.0)
    assert not caplog.records
    find_depth(root, "val", units_per_meter=1e6).require_depth(0.001, 10.0)
    assert "half of them beyond 0.003 m. Expected meters" in caplog.text


def test_maps_without_depth_are_counted(tmp_path, caplog):
    root = depth_lists(tmp_path / "scenes")
    data = find_depth(root, "val")
    data.require_depth(0.001, 10.0)
    assert not caplog.records
    Image.fromarray(np.zeros(SIZE[::-1], dtype=np.uint16)).save(root / "depth" / "101.png")
    data.require_depth(0.001, 10.0)
    assert "1 of the 4 depth maps of val of scenes have no pixel with a depth from 0.001 to 10 m" in caplog.text


def test_depth_of_another_size_is_named_with_its_picture(tmp_path):
    root = depth_lists(tmp_path / "scenes")
    Image.fromarray(np.ones((30, 40), dtype=np.uint16)).save(root / "depth" / "101.png")
    with pytest.raises(DataError, match=r"(?s)1 of 4 depth maps .*rgb/101\.png has 80 × 60 .*depth/101\.png 40 × 30"):
        find_depth(root, "val")
    Image.new("L", SIZE).save(root / "depth" / "101.png")
    with pytest.raises(
        DataError, match=r"(?s)1 of 4 depth maps .*101\.png is a picture of mode L; expected a 16-bit PNG"
    ):
        find_depth(root, "val")


def diode(root, depth, mask=None):
    (root / "val").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(root / "val" / "a.png")
    np.save(root / "val" / "a_depth.npy", depth)
    np.save(root / "val" / "a_depth_mask.npy", np.ones((2, 3)) if mask is None else mask)
    return find_depth(root, "val", "diode")


@pytest.mark.parametrize(
    ("depth", "found"),
    [
        (np.ones((3, 2)), r"a\.png has 3 × 2 pixels and its depth map .*a_depth\.npy 2 × 3"),
        (np.ones((2, 3, 3)), r"has the shape \(2, 3, 3\); expected \(height, width\)"),
        (np.ones(6), r"has the shape \(6,\); expected \(height, width\)"),
        (np.full((2, 3), "far"), r"holds <U3; expected an array of numbers"),
        (np.ones((2, 3), dtype=complex), r"holds complex128; expected an array of numbers"),
        (np.array([None]), r"a_depth\.npy cannot be read: "),
    ],
)
def test_arrays_that_are_no_depth_are_named(tmp_path, depth, found):
    with pytest.raises(DataError, match=found):
        diode(tmp_path, depth)


def test_values_of_arrays_that_are_no_depth(tmp_path):
    values = np.array([[1.0, np.nan, np.inf], [-np.inf, 1e300, 2.0]])
    assert diode(tmp_path / "a", values).read_depth(0).tolist() == [[1, 0, 0], [0, 0, 2]]
    values[0, 0] = -1
    assert diode(tmp_path / "b", values, mask=values > 0).read_depth(0).tolist() == [[0, 0, 0], [0, 0, 2]]
    with pytest.raises(DataError, match=r"a_depth\.npy holds the depth -1; expected meters, 0 where nothing"):
        diode(tmp_path / "c", values).read_depth(0)
    with pytest.raises(DataError, match=r"No pixel of the 1 depth maps"):
        diode(tmp_path / "d", np.full((2, 3), np.nan)).require_depth(0.001, 10.0)


def test_nyus_lists_begin_with_a_slash_and_end_with_a_focal_length(tmp_path):
    (tmp_path / "kitchen").mkdir()
    lines = []
    for number in range(2):
        Image.new("RGB", (6, 4)).save(tmp_path / f"kitchen/rgb_0000{number}.jpg")
        Image.fromarray(np.full((4, 6), 2000, dtype=np.uint16)).save(tmp_path / f"kitchen/sync_depth_0000{number}.png")
        lines.append(f"/kitchen/rgb_0000{number}.jpg /kitchen/sync_depth_0000{number}.png 518.8579\n")
    (tmp_path / "train.txt").write_text("".join(lines))
    data = find_depth(tmp_path, "train")
    assert data.names == ("kitchen/rgb_00000.jpg", "kitchen/rgb_00001.jpg")
    assert (data.read_depth(1) == 2).all()


def test_lines_without_depth_are_told(tmp_path, caplog):
    root = depth_lists(tmp_path / "scenes")
    (root / "val.txt").write_text((root / "val.txt").read_text() + "\nrgb/0.png None\n")
    assert len(find_depth(root, "val")) == 4
    assert "1 pictures of" in caplog.text
    assert "have no depth and are left out" in caplog.text
