"""Failures of the machine end the work; failures of one picture are that picture's."""

import errno
import os
import resource
import shutil

import pytest
from PIL import Image

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.layouts import map_header, read_map
from sslhsic_transfer.data.storage import require_folder
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.errors import DataError, DeviceMemoryError, ImageError, StorageError
from sslhsic_transfer.pretrain.loading.dataset import TwoViewDataset
from sslhsic_transfer.pretrain.sections import AugmentationSettings


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "one.png"
    Image.new("RGB", (40, 40)).save(path)
    return path


@pytest.fixture
def failing(monkeypatch):
    """Set what opening any picture raises."""

    def fail(error):
        def opened(*_, **__):
            raise error

        monkeypatch.setattr(Image, "open", opened)

    return fail


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EIO, "disk or network folder is sound"),
        (errno.ESTALE, "disk or network folder is sound"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "ulimit -n"),
        (errno.ENOMEM, "Lower workers"),
    ],
)
@pytest.mark.parametrize("read", [load_image, read_map, map_header])
def test_a_failing_machine_is_no_unreadable_picture(picture, failing, number, fix, read):
    failing(OSError(number, os.strerror(number)))
    with pytest.raises(StorageError, match=rf"one\.png: {os.strerror(number)}\. .*{fix}"):
        read(picture)


@pytest.mark.parametrize("read", [load_image, read_map])
def test_no_memory_left(picture, failing, read):
    failing(MemoryError())
    with pytest.raises(DeviceMemoryError, match=r"no memory left to read .*one\.png"):
        read(picture)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG, None])
def test_a_file_of_its_own_is(picture, failing, number):
    failing(OSError(number, os.strerror(number)) if number else OSError("truncated"))
    with pytest.raises(ImageError, match=r"one\.png"):
        load_image(picture)
    with pytest.raises(DataError, match=r"one\.png"):
        read_map(picture)


def test_a_path_that_leads_nowhere_is_no_picture(tmp_path):
    with pytest.raises(ImageError, match=r"There is no picture at .*nowhere/at/all\.png"):
        load_image(tmp_path / "nowhere" / "at" / "all.png")


def test_a_listed_picture_that_is_gone_alone_is_unreadable(picture):
    picture.unlink()
    with pytest.raises(ImageError) as caught:
        load_image(picture)
    require_folder(caught.value)


@pytest.fixture
def vanished(tmp_path):
    """The pictures of a folder that goes after it was listed."""
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "pictures" / name / "1.png")
    found = ImageFolder.scan(tmp_path / "pictures")
    shutil.rmtree(tmp_path / "pictures")
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_embedding_ends_where_the_folder_vanishes(vanished, model_folder, workers):
    with pytest.raises(StorageError, match=r"its folder .*pictures/a is not there any more"):
        list(extract_batches(from_pretrained(model_folder), vanished.paths, workers=workers))


def test_pretraining_ends_where_the_folder_vanishes(vanished):
    with pytest.raises(StorageError, match="is not there any more"):
        TwoViewDataset(vanished, AugmentationSettings(size=32))[0, 1]


def test_too_many_open_files_for_real(picture):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(picture, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        with pytest.raises(StorageError, match="Too many open files"):
            load_image(picture)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
