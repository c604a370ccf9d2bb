import pytest

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources import Stream, find_data


@pytest.fixture(scope="module")
def stream(parquet):
    found = find_data(f"hf://parquet?data_files={parquet}/*.parquet&streaming=true&length=72&buffer=10").train
    assert isinstance(found, Stream)
    return found


def contents(pictures):
    return [picture.value["bytes"] for picture in pictures]


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 5, 8])
def test_readers_divide_an_epoch(stream, readers, folder):
    """Four shards: two and four readers have shards of their own, the others skip what is not theirs."""
    parts = [contents(stream.read(1, seed=0, reader=reader, readers=readers)) for reader in range(readers)]
    assert sorted(content for part in parts for content in part) == sorted(path.read_bytes() for path in folder.paths)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_order_is_a_function_of_seed_and_epoch(stream):
    def order(epoch, seed):
        return contents(stream.read(epoch, seed=seed, reader=0, readers=2))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0) != order(1, 1)


def test_shards_are_streamed_by_their_builder(folder, write_shards, tmp_path):
    write_shards(folder, tmp_path, each=18)
    found = find_data(f"hf://webdataset?data_files={tmp_path}/*.tar&streaming=true&length=72").train
    assert (found.shards, len(found), found.classes) == (4, 72, ())
    pictures = list(found.read(0, seed=0, reader=1, readers=2))
    assert len(pictures) == 36
    assert pictures[0].name.partition(".jpg (SHA-256 ")[0] in {f"{i:04d}-{p.stem}" for i, p in enumerate(folder.paths)}
    with pictures[0].open() as image:
        assert image.format == "JPEG"


def test_a_zip_of_pictures_is_streamed(folder, digits, tmp_path):
    import shutil

    archive = shutil.make_archive(str(tmp_path / "digits"), "zip", digits / "train")
    found = find_data(f"hf://imagefolder?data_files={archive}&streaming=true&length=72").train
    pictures = list(found.read(0, seed=0, reader=0, readers=1))
    assert len(pictures) == 72
    with pictures[0].open() as image:
        assert image.size in {opened.size for opened in map(folder.open, range(3)) if not opened.close()}


def test_folders_of_pictures_are_streamed_file_by_file(folder, digits):
    found = find_data(f"hf://imagefolder?data_dir={digits / 'train'}&streaming=true&length=72").train
    names = {picture.name for picture in found.read(0, seed=0, reader=0, readers=1)}
    assert names == set(map(str, ImageFolder.scan(digits / "train").paths))
