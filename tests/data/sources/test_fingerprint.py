"""A fingerprint tells that a source holds the same pictures: wherever it lies, and no others of the same number."""

import dataclasses
import shutil

import datasets as hf
import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.data.sources.fingerprint import fingerprint
from sslhsic_transfer.data.sources.shards import ShardedPictures
from sslhsic_transfer.data.sources.torchvision import TorchvisionPictures


@pytest.fixture
def two(folder, tmp_path):
    """Put the same pictures in two places; one of the second place differs."""
    for name in ("same", "other"):
        shutil.copytree(folder.root, tmp_path / name)
    (tmp_path / "other" / folder.paths[0].relative_to(folder.root)).write_bytes(folder.paths[-1].read_bytes())
    return ImageFolder.scan(tmp_path / "same"), ImageFolder.scan(tmp_path / "other")


def test_of_folders(folder, two):
    same, other = two
    assert fingerprint(same) == fingerprint(folder) != fingerprint(other)
    assert fingerprint(dataclasses.replace(folder, labels=folder.labels[::-1])) != fingerprint(folder)
    assert fingerprint(folder.subset(reversed(range(len(folder))))) != fingerprint(folder)


def test_of_shards(folder, two, write_shards, tmp_path):
    shards = [
        fingerprint(ShardedPictures.index(write_shards(pictures, tmp_path / str(place))))
        for place, pictures in enumerate((folder, *two))
    ]
    assert shards[0] == shards[1] != shards[2]


def test_of_hugging_faces(folder, two, table, tmp_path):
    found = []
    for place, pictures in enumerate((folder, *two)):
        table(pictures).save_to_disk(tmp_path / f"saved{place}")
        found.append(fingerprint(find_data(f"hf://{tmp_path}/saved{place}").train))
    assert found[0] == found[1] != found[2]


def test_of_torchvisions(two):
    found = [fingerprint(find_data(f"torchvision://ImageFolder?root={pictures.root}").train) for pictures in two]
    assert found[0] != found[1]

    class Arrays:
        def __init__(self, data):
            self.data, self.targets = data, [0, 1, 0, 1]

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            return Image.fromarray(self.data[index]), self.targets[index]

    data = np.zeros((4, 8, 8, 3), np.uint8)
    changed = data.copy()
    changed[2, 0, 0, 0] = 1
    arrays = [fingerprint(TorchvisionPictures(Arrays(each), "Arrays")) for each in (data, data.copy(), changed)]
    assert arrays[0] == arrays[1] != arrays[2]


def test_of_streams(parquet):
    address = f"hf://parquet?data_files={parquet}/*.parquet&streaming=true&length="
    hf.disable_progress_bars()
    found = [fingerprint(find_data(f"{address}{length}").train) for length in (72, 72, 60)]
    assert found[0] == found[1] != found[2]
