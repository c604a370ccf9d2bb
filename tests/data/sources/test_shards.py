import gzip
import io
import json
import pickle
import re
import tarfile
import time

import numpy as np
import pytest
import torch

from sslhsic_transfer.data.images import to_rgb
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.data.sources.shards import ShardedPictures, expand
from sslhsic_transfer.errors import DataError, ImageError


@pytest.fixture(scope="module")
def shards(folder, write_shards, tmp_path_factory):
    return write_shards(folder, tmp_path_factory.mktemp("shards") / "digits")


def write_tar(path, files, kind=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in files:
            (path.parent / "content").write_bytes(content)
            tar.add(path.parent / "content", name)
    return path


def test_hold_the_folders_pictures_and_labels_in_its_order(shards, folder, same_pictures):
    assert len(shards) == 3
    pictures = ShardedPictures.index(shards)
    assert same_pictures(pictures, folder)
    assert pictures.labels == folder.labels
    assert pictures.classes == ("0", "1", "2"), "numbers, as .cls has no names"


def test_a_pickled_copy_reads_the_same_and_is_small(shards, same_pictures):
    pictures = ShardedPictures.index(shards)
    content = pickle.dumps(pictures)
    assert same_pictures(pickle.loads(content), pictures)
    assert len(content) < 100 * len(pictures)
    assert pictures.places.nbytes == 24 * len(pictures)


def test_names_say_the_shard_and_the_file_in_it(shards, folder):
    name = ShardedPictures.index(shards).name(31)
    assert name == f"{shards[1]}/0031-{folder.paths[31].stem}.jpg"


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_of_one_example_share_their_name_up_to_the_first_dot(kind, folder, tmp_path):
    jpeg = folder.paths[0].read_bytes()
    far = "a folder/" * (12 if kind != tarfile.USTAR_FORMAT else 3)
    files = [
        ("x.json", json.dumps({"label": "cat", "width": 3}).encode()),
        ("x.jpg", jpeg),
        ("x.seg.png", b"a mask"),
        (f"{far}x.JPEG", jpeg),
        (f"{far}x.cls", b"dog\n"),
        ("y.txt", b"no picture here"),
        (".hidden.jpg", b"no key"),
        ("z.cls", b"cat"),
        ("z.jpg", b"broken"),
        ("z.png", b"another of the same example"),
    ]
    pictures = ShardedPictures.index([write_tar(tmp_path / "a.tar", files, kind)])
    assert len(pictures) == 3
    assert pictures.classes == ("cat", "dog")
    assert pictures.labels == (0, 1, 0)
    assert pictures.name(1) == f"{tmp_path / 'a.tar'}/{far}x.JPEG"
    with pytest.raises(ImageError, match=r"picture 2 of .*a\.tar"):
        pictures.open(2)


@pytest.mark.parametrize("labels", [[b"1", b"1"], [b"0", None], [b"0", b"\xff"]])
def test_labels_count_only_where_all_have_one_and_they_differ(labels, folder, tmp_path):
    files = [(f"{i}.jpg", folder.paths[i].read_bytes()) for i in range(2)]
    files += [(f"{i}.cls", label) for i, label in enumerate(labels) if label is not None]
    pictures = ShardedPictures.index([write_tar(tmp_path / "a.tar", sorted(files))])
    assert (pictures.classes, pictures.labels) == ((), ())


def test_large_numbers_are_names_of_classes(folder, tmp_path):
    files = [
        (f"{i}.{kind}", content)
        for i, label in enumerate((b"9000000000", b"7"))
        for kind, content in (("jpg", folder.paths[i].read_bytes()), ("cls", label))
    ]
    pictures = ShardedPictures.index([write_tar(tmp_path / "a.tar", files)])
    assert pictures.classes == ("7", "9000000000")
    assert pictures.labels == (1, 0)


def test_odd_pictures_are_mended_or_reported(odd, write_shards, tmp_path):
    pictures = ShardedPictures.index(write_shards(odd, tmp_path))
    for index, path in enumerate(odd.paths):
        if path.name.startswith("x"):
            with pytest.raises(ImageError), pictures.open(index) as image:
                to_rgb(image)
            assert path.stem in pictures.name(index)
        else:
            with pictures.open(index) as image, odd.open(index) as expected:
                assert np.array_equal(to_rgb(image), to_rgb(expected))


def test_patterns_mean_shards_in_their_order(shards, tmp_path):
    root = shards[0].parent
    assert expand(str(root / "part-{000..002}.tar")) == tuple(shards)
    assert expand(str(root / "part-{002,000}.tar")) == (shards[2], shards[0])
    assert expand(str(root / "{part,part}-00[01].tar")) == (shards[0], shards[1]) * 2
    assert expand(str(root / "part-*.tar")) == tuple(shards)
    assert expand(str(shards[1])) == (shards[1],)
    odd = tmp_path / "part-{0}.tar"
    odd.write_bytes(shards[0].read_bytes())
    assert expand(str(odd)) == (odd,), "a file that is there is meant"
    with pytest.raises(DataError, match=r"2 of the shards that this means are not there, first .*part-003\.tar"):
        expand(str(root / "part-{000..004}.tar"))
    with pytest.raises(DataError, match=r"not there, first .*none-\*\.tar"):
        expand(str(root / "none-*.tar"))


def test_are_found_by_file_pattern_and_folder(shards):
    root = shards[0].parent
    (root / "part-000.tar.idx").write_bytes(b"of another reader")
    for data in (root, str(root), str(root / "part-*.tar"), str(root / "part-{000..002}.tar")):
        found = find_data(data)
        assert (found.name, len(found.train), found.validation) == ("digits", 72, None)
    assert len(find_data(shards[2]).train) == 12


def test_errors_say_what_to_do(shards, tmp_path, folder):
    compressed = tmp_path / "a.tar.gz"
    compressed.write_bytes(gzip.compress(shards[0].read_bytes()))
    with pytest.raises(DataError, match=r"is compressed.*gunzip"):
        find_data(compressed)
    with pytest.raises(DataError, match=r"is compressed.*gunzip"):
        find_data(tmp_path)
    disguised = compressed.rename(tmp_path / "b.tar")
    with pytest.raises(DataError, match=r"b\.tar cannot be read as a shard"):
        find_data(disguised)
    disguised.write_bytes(shards[0].read_bytes()[:20000])
    with pytest.raises(DataError, match=r"cannot be read as a shard: unexpected end of data"):
        find_data(disguised)
    empty = write_tar(tmp_path / "c.tar", [("a.txt", b"?")])
    with pytest.raises(DataError, match=r"no pictures in .*c\.tar; expected files ending in .*\.png"):
        find_data(empty)


def test_pictures_that_are_passed_over_are_told(folder, tmp_path):
    jpeg = folder.paths[0].read_bytes()
    files = [
        ("a.cls", b"0"),
        ("a.heic", b"ftypheic"),
        ("b.cls", b"1"),
        ("b.dng", b"raw, with the same beside it"),
        ("b.jpg", jpeg),
        ("c.JXL", b"jxl"),
        ("._d.heic", b"of macOS"),
        ("e.txt", b"no picture"),
    ]
    shards = [write_tar(tmp_path / f"{number}.tar", files) for number in range(2)]
    words = (
        rf"4 pictures of {shards[0]} and 1 other shards are passed over; Pillow reads no \.heic, \.jxl here, such as "
        rf"{shards[0]}/a\.heic: convert them"
    )
    with pytest.warns(UserWarning, match=words) as told:
        assert len(ShardedPictures.index(shards)) == 2
    assert len(told) == 1
    only = write_tar(tmp_path / "only.tar", files[:2])
    with pytest.raises(DataError, match=r"no pictures in .*only\.tar; Pillow reads no \.heic here"):
        ShardedPictures.index([only])


def test_pictures_with_a_dot_too_many_are_told(folder, tmp_path):
    jpeg = folder.paths[0].read_bytes()
    files = [("a.jpg", jpeg), ("a.seg.png", b"a mask"), ("b.v2.jpg", jpeg)]
    shard = write_tar(tmp_path / "a.tar", files)
    words = r"1 pictures of .*a\.tar are passed over; their suffixes do not follow the first dots .*b\.v2\.jpg: rename"
    with pytest.warns(UserWarning, match=words) as told:
        assert len(ShardedPictures.index([shard])) == 1
    assert len(told) == 1
    with pytest.raises(DataError, match=r"no pictures in .*do not follow the first dots"):
        ShardedPictures.index([write_tar(shard, files[1:])])


def test_a_range_that_falls_means_nothing(tmp_path):
    with pytest.raises(DataError, match="must rise"):
        expand(str(tmp_path / "train-{3..1}.tar"))


def test_a_shard_that_changes_under_the_run_is_a_damaged_picture(shards, tmp_path):
    copy = tmp_path / "a.tar"
    copy.write_bytes(shards[0].read_bytes())
    pictures = ShardedPictures.index([copy])
    copy.write_bytes(shards[0].read_bytes()[:5000])
    with pytest.raises(ImageError, match="the shard ends before byte"):
        pictures.open(len(pictures) - 1)
    copy.unlink()
    with pytest.raises(ImageError, match="No such file"):
        pictures.open(0)
    assert re.search(r"a\.tar/byte \d+", pictures.name(0))


def test_many_pictures_are_indexed_fast(folder, tmp_path):
    """Ten thousand pictures with labels; 0.6 s on an idle core."""
    content = folder.paths[0].read_bytes()
    files = [
        (f"{i:06d}.{kind}", data) for i in range(10_000) for kind, data in (("cls", b"%d" % (i % 7)), ("jpg", content))
    ]
    path = tmp_path / "big.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    start = time.perf_counter()
    pictures = ShardedPictures.index([path])
    assert time.perf_counter() - start < 20
    assert len(pictures) == 10_000
    assert torch.tensor(pictures.labels).bincount().min() > 1000
