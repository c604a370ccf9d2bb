from pathlib import Path

import pytest

from sslhsic_transfer.data.sources import PretrainingData, find_data
from sslhsic_transfer.errors import ConfigError, DataError, MissingDependencyError


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("nowhere", DataError, "nowhere is not a folder; expected a folder of pictures or shards, a .tar file"),
        ("torch://CIFAR10", ConfigError, r"no such kind of data: torch:// \(did you mean torchvision\?\)"),
        ("s3://bucket/a.tar", DataError, "not on this machine. Copy the shards to a disk, or stream them: hf://webdat"),
        ("https://host/{000..012}.tar", DataError, "not on this machine"),
        ("pipe:curl https://host/a.tar", DataError, "not on this machine"),
        (Path("hf://org/name"), ConfigError, "an address given as a Path, which loses a slash: pass a string"),
        ("hf://", ConfigError, "expected hf://ORG/NAME"),
    ],
)
def test_what_is_not_understood_is_answered_with_what_is(data, error, message):
    with pytest.raises(error, match=message):
        find_data(data)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"'datasets'.*pip install 'sslhsic-transfer\[data\]'"):
        find_data("hf://org/name")


def test_what_is_validated_on_has_labels_and_the_same_classes(folder, digits):
    from sslhsic_transfer.data.image_folder import ImageFolder

    with pytest.raises(DataError, match="x: the pictures to validate on have no labels"):
        PretrainingData("x", folder, ImageFolder.scan(digits / "train" / "0"))
    with pytest.raises(DataError, match="have the classes 0, 1, 5; those to validate on test, train"):
        PretrainingData("x", folder, ImageFolder.scan(digits))
