import shutil

import pytest

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.errors import DataError


def test_finds_splits_classes_and_plain_folders(digits, tmp_path):
    found = find_data(digits)
    assert found.train.root == digits / "train"
    assert found.validation is None, "a test split is never touched"
    shutil.copytree(digits, tmp_path / "d")
    shutil.copytree(digits / "test", tmp_path / "d" / "val")
    found = find_data(tmp_path / "d")
    assert found.validation is not None
    assert found.validation.root.name == "val"
    assert len(find_data(digits / "test" / "0").train) == 8
    (tmp_path / "d" / "val" / "1").rename(tmp_path / "d" / "val" / "7")
    with pytest.raises(DataError, match="0, 1, 5; val/ 0, 5, 7"):
        find_data(tmp_path / "d")


def test_shards_may_lie_in_train_and_val(folder, digits, write_shards, same_pictures, tmp_path):
    held_out = ImageFolder.scan(digits / "test")
    write_shards(folder, tmp_path / "data" / "train")
    write_shards(held_out, tmp_path / "data" / "val")
    found = find_data(tmp_path / "data")
    assert found.name == "data"
    assert same_pictures(found.train, folder)
    assert found.validation is not None
    assert same_pictures(found.validation, held_out)
    shutil.rmtree(tmp_path / "data" / "val")
    write_shards(held_out, tmp_path / "data" / "val", labels=False)
    with pytest.raises(DataError, match="have no labels"):
        find_data(tmp_path / "data")


def test_an_archive_beside_pictures_changes_nothing(folder, digits, tmp_path):
    shutil.copytree(digits / "train", tmp_path / "data")
    (tmp_path / "data" / "backup.tar").write_bytes(b"?")
    (tmp_path / "data" / "backup.tar.gz").write_bytes(b"?")
    assert len(find_data(tmp_path / "data").train) == len(folder)
