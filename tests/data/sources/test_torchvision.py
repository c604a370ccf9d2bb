import hashlib
import pickle
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import to_rgb
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.errors import ConfigError, DataError, ImageError, MissingDependencyError


@pytest.fixture(scope="module")
def cifar(folder, tmp_path_factory, module_patch):
    """Write the digits as files of CIFAR-10, and let torchvision expect their checksums."""
    root = tmp_path_factory.mktemp("cifar")
    base = root / datasets.CIFAR10.base_folder
    base.mkdir()
    pixels = [np.asarray(to_rgb(folder.open(i)).resize((32, 32))).transpose(2, 0, 1).ravel() for i in range(72)]
    names = [name for name, _ in (*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list)]

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((base / name).read_bytes()).hexdigest()

    files = [
        write(name, {"data": np.stack(pixels[part::6]), "labels": list(folder.labels[part::6])})
        for part, name in enumerate(names)
    ]
    meta, checksum = write("batches.meta", {"label_names": ["zero", "one", "five"]})
    module_patch.setattr(datasets.CIFAR10, "train_list", [list(file) for file in files[:5]])
    module_patch.setattr(datasets.CIFAR10, "test_list", [list(files[5])])
    module_patch.setattr(datasets.CIFAR10, "meta", {"filename": meta, "key": "label_names", "md5": checksum})
    return root


@pytest.fixture(scope="module")
def module_patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def textures(digits, tmp_path_factory):
    """Write the digits in the layout of the Describable Textures Dataset."""
    root = tmp_path_factory.mktemp("textures")
    data = root / "dtd" / "dtd"
    (data / "labels").mkdir(parents=True)
    shutil.copytree(digits / "train", data / "images")
    paths = [path.relative_to(data / "images").as_posix() for path in sorted((data / "images").rglob("*.jpg"))]
    for part, split in enumerate(("train", "val", "test")):
        (data / "labels" / f"{split}1.txt").write_text("\n".join(paths[part::3]))
    return root


def test_image_folder_holds_the_folders_pictures(folder, same_pictures):
    found = find_data(f"torchvision://ImageFolder?root={folder.root}")
    assert found.name == "ImageFolder"
    assert same_pictures(found.train, folder)
    assert (found.train.classes, tuple(found.train.labels)) == (folder.classes, folder.labels)
    assert found.train.name(5) == str(folder.paths[5])
    with found.train.open(5) as image:
        assert image.format == "JPEG", "not yet decoded"


def test_cifar_trains_on_its_training_part_and_validates_where_asked(cifar, folder):
    found = find_data(f"torchvision://CIFAR10?root={cifar}")
    assert (len(found.train), found.validation) == (60, None)
    assert found.train.classes == ("zero", "one", "five")
    assert tuple(found.train.labels[:12]) == folder.labels[::6]
    expected = to_rgb(folder.open(6)).resize((32, 32))
    assert np.array_equal(found.train.open(1), expected)
    assert found.train.name(1) == "CIFAR10[1]"
    assert len(find_data(f"torchvision://CIFAR10?root={cifar}&validation=test").validation) == 12
    assert len(find_data(f"torchvision://CIFAR10?root={cifar}&split=test").train) == 12
    assert len(find_data(f"torchvision://CIFAR10?root={cifar}&train=false").train) == 12


def test_parts_have_the_names_of_their_class(textures):
    found = find_data(f"torchvision://DTD?root={textures}&validation=val&partition=1")
    assert (len(found.train), len(found.validation)) == (24, 24)
    assert found.train.classes == ("0", "1", "5")
    assert found.train.name(0).endswith("/dtd/dtd/images/0/" + found.train.name(0).rpartition("/")[2])
    assert find_data(f"torchvision://DTD?root={textures}&split=test").train.name(0) != found.train.name(0)


def test_classes_without_labels_or_files_serve(digits, tmp_path):
    (tmp_path / "eurosat").mkdir()
    shutil.copytree(digits / "train", tmp_path / "eurosat" / "2750")
    assert find_data(f"torchvision://EuroSAT?root={tmp_path}").train.classes == ("0", "1", "5")
    found = find_data("torchvision://FakeData?size=12&image_size=(3,40,40)&num_classes=2")
    assert (len(found.train), found.train.classes, found.train.open(3).size) == (12, (), (40, 40))


def test_odd_pictures_are_mended_or_reported(odd):
    pictures = find_data(f"torchvision://ImageFolder?root={odd.root}").train
    for index, path in enumerate(odd.paths):
        assert pictures.name(index) == str(path)
        if path.name.startswith("x"):
            with pytest.raises(ImageError), pictures.open(index) as image:
                to_rgb(image)
        else:
            with pictures.open(index) as image, odd.open(index) as expected:
                assert np.array_equal(to_rgb(image), to_rgb(expected))


def test_a_damaged_first_picture_does_not_hide_the_others(digits, tmp_path):
    shutil.copytree(digits / "train", tmp_path / "d")
    ImageFolder.scan(tmp_path / "d").paths[0].write_bytes(b"no picture")
    assert len(find_data(f"torchvision://ImageFolder?root={tmp_path / 'd'}").train) == 72


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("CIFAR11?root=x", ConfigError, r"no class 'CIFAR11' \(did you mean CIFAR10"),
        ("cifar10?root=x", ConfigError, r"did you mean CIFAR10"),
        ("VisionDataset?root=x", ConfigError, "no class 'VisionDataset'"),
        ("CIFAR10", ConfigError, r"root is missing; .* torchvision://CIFAR10\?root=DIR"),
        ("CIFAR10?root=x&transform=y", ConfigError, "no such parameter: transform"),
        (
            "CIFAR10?root=x&partition=1",
            ConfigError,
            "no such parameter: partition .*; known here: download, root",
        ),
        ("CIFAR10?root=x&split=val", ConfigError, "CIFAR10 has the parts train and test, no 'val'"),
        ("CIFAR10?root=x&train=maybe", ConfigError, "train=maybe; expected true or false"),
        ("DTD?root=x&partition=one", ConfigError, "partition=one; expected a int, such as 1"),
        ("FakeData?size=4&validation=val", ConfigError, "FakeData has no parts to choose from"),
        ("EMNIST?root=x", ConfigError, "EMNIST needs the parameter split"),
        ("CIFAR10?root=nowhere", DataError, r"cannot be opened: .* add download=true to the address"),
        ("DTD?root=nowhere", DataError, r"cannot be opened: .* add download=true"),
        ("DTD?root=nowhere&split=dev", DataError, "dev"),
    ],
)
def test_what_is_wrong_is_said(address, error, message):
    with pytest.raises(error, match=message):
        find_data(f"torchvision://{address}")


def test_data_that_are_no_pictures_are_refused(tmp_path):
    (tmp_path / "MovingMNIST").mkdir()
    np.save(tmp_path / "MovingMNIST" / "mnist_test_seq.npy", np.zeros((20, 4, 8, 8), np.uint8))
    with pytest.raises(DataError, match="an example begins with a Tensor; expected a picture"):
        find_data(f"torchvision://MovingMNIST?root={tmp_path}")


def test_several_processes_do_not_download_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="Download with one process first"):
        find_data(f"torchvision://CIFAR10?root={tmp_path}&download=true")
    assert not list(tmp_path.iterdir())


def test_a_package_that_a_class_needs_is_named(tmp_path, monkeypatch):
    for name in ("pycocotools", "pycocotools.coco"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="CocoDetection needs the package 'pycocotools"):
        find_data(f"torchvision://CocoDetection?root={tmp_path}&annFile=x.json")


def test_pictures_without_files_are_not_mistaken_for_damaged():
    assert isinstance(find_data("torchvision://FakeData?size=2").train.open(0), Image.Image)
