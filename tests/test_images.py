from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslhsic_transfer.errors import DataError, ImageError
from sslhsic_transfer.images import ImageFolder, load_image, to_rgb, to_uint8_tensor


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_pictures_and_classes_in_order(tmp_path):
    touch(tmp_path, "b/2.JPG", "b/1.png", "a/x/deep.webp", "a/notes.txt", ".cache/c.jpg", "b/.hidden.jpg")
    folder = ImageFolder.scan(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in folder.paths] == ["a/x/deep.webp", "b/1.png", "b/2.JPG"]
    assert folder.classes == ("a", "b")
    assert folder.labels == (0, 1, 1)
    assert len(folder) == 3


@pytest.mark.parametrize("names", [("1.jpg", "2.jpg"), ("a/1.jpg", "b/1.jpg", "c.jpg"), ("only/1.jpg", "only/2.jpg")])
def test_plain_folders_have_no_labels(tmp_path, names):
    touch(tmp_path, *names)
    assert ImageFolder.scan(tmp_path).classes == ()
    assert ImageFolder.scan(tmp_path).labels == ()
    with pytest.raises(DataError, match="has no classes"):
        ImageFolder.scan(tmp_path, labelled=True)


def test_folders_without_pictures_are_refused(tmp_path):
    touch(tmp_path, "readme.txt")
    with pytest.raises(DataError, match="holds no pictures"):
        ImageFolder.scan(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        ImageFolder.scan(tmp_path / "readme.txt")


def test_a_part_of_a_folder_keeps_order_and_classes(digits):
    folder = ImageFolder.scan(digits / "test")
    part = folder.subset([17, 3, 3])
    assert part.paths == (folder.paths[17], folder.paths[3], folder.paths[3])
    assert (part.labels, part.classes) == ((2, 0, 0), ("0", "1", "5"))
    assert ImageFolder.scan(digits / "test/0").subset(range(2)).labels == ()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new("RGB", (5, 4), (200, 10, 10))
    image = Image.new(mode, (5, 4), 51400) if mode in ("I", "I;16") else image.convert(mode)
    rgb = to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (5, 4))
    if mode in ("I", "I;16"):
        assert rgb.getpixel((0, 0)) == (200, 200, 200)  # 51400 >> 8
    if mode in ("RGBA", "P", "CMYK"):
        assert rgb.getpixel((0, 0))[0] > 190


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (6, 3))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (3, 6)


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "damaged.jpg"
    if content is None:
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"damaged\.jpg"):
        load_image(path)


def test_tensor_of_a_picture_is_its_pixels():
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    expected = torch.from_numpy(array).permute(2, 0, 1)
    for picture in (array, Image.fromarray(array), expected, expected.float() / 255):
        assert torch.equal(to_uint8_tensor(picture), expected)
    assert torch.equal(to_uint8_tensor(array[..., 0]), expected[:1].expand(3, -1, -1))
    assert torch.equal(to_uint8_tensor(expected[:1]), expected[:1].expand(3, -1, -1))
