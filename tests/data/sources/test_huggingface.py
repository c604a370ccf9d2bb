import pickle
import shutil

import datasets
import numpy as np
import pytest

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import to_rgb
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.errors import ConfigError, DataError, ImageError


@pytest.fixture(scope="module")
def saved(folder, digits, table, tmp_path_factory):
    """Save a data set of two splits, and one of a single split."""
    root = tmp_path_factory.mktemp("saved")
    both = datasets.DatasetDict({"train": table(folder), "test": table(ImageFolder.scan(digits / "test"))})
    both.save_to_disk(root / "both")
    both["train"].save_to_disk(root / "single")
    return root


def check(found, folder, same_pictures):
    assert same_pictures(found.train, folder)
    assert found.train.classes == folder.classes
    assert tuple(found.train.labels) == folder.labels


def test_folders_by_the_imagefolder_builder(folder, same_pictures):
    found = find_data(f"hf://imagefolder?data_dir={folder.root}")
    check(found, folder, same_pictures)
    assert found.name == "train"
    assert found.validation is None
    assert found.train.name(7) == f"imagefolder/train[7]: {folder.paths[7]}"


def test_parquet_files(parquet, folder, same_pictures):
    check(find_data(f"hf://parquet?data_files={parquet}/*.parquet"), folder, same_pictures)


def test_shards_by_the_webdataset_builder(folder, write_shards, same_pictures, tmp_path):
    write_shards(folder, tmp_path)
    found = find_data(f"hf://webdataset?data_files={tmp_path}/*.tar&label=cls")
    assert same_pictures(found.train, folder)
    assert found.train.classes == ("0", "1", "2")
    assert tuple(found.train.labels) == folder.labels
    assert find_data(f"hf://webdataset?data_files={tmp_path}/*.tar").train.classes == ()


def test_saved_data_sets(saved, folder, same_pictures):
    found = find_data(f"hf://{saved}/single")
    check(found, folder, same_pictures)
    assert found.name == "single"
    found = find_data(f"hf://{saved}/both?validation=test")
    check(found, folder, same_pictures)
    assert len(found.validation) == 24
    assert find_data(f"hf://{saved}/both?split=test").train.labels == found.validation.labels


def test_parts_of_a_split_train_and_validate(folder):
    found = find_data(f"hf://imagefolder?data_dir={folder.root}&split=train[12:]&validation=train[:50%]")
    assert (len(found.train), len(found.validation)) == (60, 36)
    assert found.validation.classes == found.train.classes


def test_a_pickled_copy_reads_the_same(saved, same_pictures):
    pictures = find_data(f"hf://{saved}/single").train
    assert same_pictures(pickle.loads(pickle.dumps(pictures)), pictures)


def test_odd_pictures_are_mended_or_reported(odd, table, tmp_path):
    table(odd).save_to_disk(tmp_path / "odd")
    pictures = find_data(f"hf://{tmp_path}/odd").train
    for index, path in enumerate(odd.paths):
        if path.name.startswith("x"):
            with pytest.raises(ImageError), pictures.open(index) as image:
                to_rgb(image)
            assert f"[{index}]: {path.name} (SHA-256 " in pictures.name(index)
        else:
            with pictures.open(index) as image, odd.open(index) as expected:
                assert np.array_equal(to_rgb(image), to_rgb(expected))


def test_columns_of_bytes_and_of_paths_are_pictures_when_named(folder, same_pictures, tmp_path):
    rows = {
        "content": [path.read_bytes() for path in folder.paths],
        "file": list(map(str, folder.paths)),
        "word": [folder.classes[label] for label in folder.labels],
    }
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "d")
    for column in ("content", "file"):
        found = find_data(f"hf://{tmp_path}/d?image={column}&label=word")
        check(found, folder, same_pictures)


@pytest.fixture(scope="module")
def columns(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("columns") / "d"
    count = 8
    encoded = [{"bytes": path.read_bytes(), "path": None} for path in folder.paths[:count]]
    rows = {
        "photo": [None, *encoded[1:]],
        "mask": encoded,
        "fine": [0, 1] * 4,
        "coarse": [0] * count,
        "hidden": [-1] * count,
        "size": [0.5] * count,
    }
    label = datasets.ClassLabel(names=["a", "b"])
    features = {"photo": datasets.Image(), "mask": datasets.Image(), "fine": label, "coarse": label, "hidden": label}
    features["size"] = datasets.Value("float32")
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).save_to_disk(root)
    return f"hf://{root}"


def test_labels_count_only_where_all_have_one_and_they_differ(columns):
    assert find_data(f"{columns}?image=mask&label=fine").train.classes == ("a", "b")
    for label in ("coarse", "hidden", ""):
        assert find_data(f"{columns}?image=mask&label={label}").train.classes == ()


def test_an_empty_row_is_a_damaged_picture(columns):
    pictures = find_data(f"{columns}?image=photo&label=").train
    with pytest.raises(ImageError, match=r"train\[0\] holds no picture"):
        pictures.open(0)
    assert pictures.name(0).endswith("[0]: an empty row")


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("label=fine", DataError, "the columns photo, mask would do: choose one with image=NAME"),
        ("image=mask", DataError, "the columns fine, coarse, hidden would do: .* or label= for none"),
        ("image=picture", DataError, "no column 'picture'; there are: photo, mask, fine"),
        ("image=size&label=", DataError, "'size' cannot be read as pictures .* expected pictures, the bytes"),
        ("image=mask&label=size", DataError, "'size' holds a float; expected whole numbers or words"),
        ("image=mask&label=fine&split=dev", DataError, "no split 'dev'; the data set was saved as a single one"),
        ("image=mask&label=fine&validation=dev", DataError, "no split 'dev'"),
        ("streaming=true&length=8", ConfigError, "a saved data set is read where it lies; leave out: streaming"),
        ("revision=main", ConfigError, "leave out: revision"),
        ("length=8", ConfigError, "no such parameter: length; known here: data_dir"),
        ("colum=x", ConfigError, "no such parameter: colum;"),
    ],
)
def test_what_is_wrong_is_said(columns, query, error, message):
    with pytest.raises(error, match=message):
        find_data(f"{columns}?{query}")


def test_data_that_cannot_be_loaded_say_why(saved, folder, parquet, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'; there are: train, test"):
        find_data(f"hf://{saved}/both?split=dev")
    with pytest.raises(DataError, match=r"the split 'dev' cannot be loaded: Unknown split"):
        find_data(f"hf://imagefolder?data_dir={folder.root}&split=dev")
    with pytest.raises(DataError, match="cannot be loaded: Couldn't reach 'no/such'"):
        find_data("hf://no/such")
    with pytest.raises(DataError, match="cannot be loaded"):
        find_data(f"hf://imagefolder?data_dir={tmp_path}/none")
    with pytest.raises(ConfigError, match=r"do not say how many pictures they hold\. Add length=PICTURES"):
        find_data(f"hf://parquet?data_files={shutil.copytree(parquet, tmp_path / 'new')}/*.parquet&streaming=true")
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(DataError, match="no column holds pictures by its type; there are: text"):
        find_data(f"hf://{tmp_path}/text")
