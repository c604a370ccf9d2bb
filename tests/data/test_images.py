import re

import numpy as np
import pytest
import torch
from PIL import Image

from sslhsic_transfer.data import strips
from sslhsic_transfer.data.images import (
    load_image,
    open_bytes,
    open_image,
    to_rgb,
    to_uint8_array,
    to_uint8_tensor,
    upright_size,
)
from sslhsic_transfer.errors import ImageError
from tests.memory import MIB, peak_of


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new("RGB", (5, 4), (200, 10, 10))
    image = Image.new(mode, (5, 4), 51210) if mode in ("I", "I;16") else image.convert(mode)
    rgb = to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (5, 4))
    if mode in ("I", "I;16"):
        assert rgb.getpixel((0, 0)) == (200, 200, 200)  # 51210 >> 8, and its lower byte is 10
    if mode in ("RGBA", "P", "CMYK"):
        assert rgb.getpixel((0, 0))[0] > 190


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_floating_pictures_keep_their_brightness(white):
    ramp = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    rgb = np.asarray(to_rgb(Image.fromarray(ramp * white)))
    np.testing.assert_array_equal(rgb[..., 0], np.round(255 * ramp))


@pytest.mark.parametrize(
    "values", [np.float32([[-1, 3]]), np.float32([[0, 4000]]), np.float32([[0, np.nan]]), np.int32([[0, 70000]])]
)
def test_values_without_a_known_white_are_refused(values):
    with pytest.raises(ImageError, match=r"its values go from .* to .*; expected 0 to"):
        to_rgb(Image.fromarray(values))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "I", "I;16", "I;16B", "F"])
def test_large_pictures_are_read_strip_by_strip_as_small_ones(mode, monkeypatch):
    values = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
    if mode.startswith("I;16"):
        image = Image.frombytes(mode, (30, 40), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    elif mode in ("I", "F"):
        image = Image.fromarray(values.astype(np.int32) if mode == "I" else values.astype(np.float32) / 65535)
    else:
        image = Image.fromarray(values.view(np.uint8).reshape(40, 20, 3)).convert(mode)
    whole = to_uint8_array(image)
    monkeypatch.setattr(strips, "_STRIP", 90)
    assert np.array_equal(to_uint8_array(image), whole)
    if mode in ("I", "I;16", "I;16B"):
        assert np.array_equal(whole[:, :, 1], values >> 8)


@pytest.mark.parametrize(("mode", "most"), [("RGB", 9), ("L", 9), ("I;16", 9), ("RGBA", 12)])
def test_what_reading_takes(mode, most, tmp_path):
    """Bytes a pixel, of the table in docs/data.md."""
    side = 3000
    Image.new(mode, (side, side)).save(tmp_path / "a.png")
    told, grown = peak_of(to_uint8_array, tmp_path / "a.png")
    assert told == "done"
    assert grown * MIB < most * side * side


def test_a_users_image_stays_as_it_is():
    exif = Image.Exif()
    exif[274] = 1
    image = Image.new("RGB", (4, 4), "red")
    image.info["exif"] = exif.tobytes()
    assert to_rgb(image).info == {}
    assert image.info == {"exif": exif.tobytes()}
    assert to_rgb(image) is not image


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:7\n",
            "Git LFS pointer, not the file itself: run `git",
        ),
        (b"<!DOCTYPE html><p>not found", "begins with '<!DOCTYPE html><p>not found': it is a web page"),
        (b"", "it is empty"),
    ],
)
def test_what_stands_in_the_place_of_a_picture_is_told(tmp_path, content, told):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (lambda: load_image(path), lambda: open_bytes(content, "shard.tar: a.png")):
        with pytest.raises(ImageError, match=rf"a\.png as a picture: .*{re.escape(told)}"):
            read()
    with pytest.raises(ImageError, match="as a picture"):
        load_image("no\0file.png")


def test_tensor_of_a_picture_is_its_pixels():
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    expected = torch.from_numpy(array).permute(2, 0, 1)
    for picture in (array, Image.fromarray(array), expected, expected.float() / 255):
        assert torch.equal(to_uint8_tensor(picture), expected)
    assert torch.equal(to_uint8_tensor(array[..., 0]), expected[:1].expand(3, -1, -1))
    assert torch.equal(to_uint8_tensor(expected[:1]), expected[:1].expand(3, -1, -1))


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "turned.tif", "packed.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_size_is_that_of_the_decoded_picture(tmp_path, name, orientation):
    image = Image.new("RGB", (6, 3))
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / name, exif=exif, **({"compression": "tiff_lzw"} if name == "packed.tif" else {}))
    with open_image(tmp_path / name) as opened:
        size = upright_size(opened)
        upright = to_rgb(opened)
    assert size == upright.size == ((3, 6) if orientation > 4 else (6, 3))
    assert to_rgb(upright).size == size


@pytest.mark.parametrize("block", [b"junkjunkjunk", b"II", b"ZZ*\0\x08\0\0\0\0\0"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_broken_exif_block_asks_for_no_turn(tmp_path, name, block):
    image = Image.new("RGB", (6, 3), (200, 10, 10))
    image.save(tmp_path / name, exif=b"Exif\0\0" + block)
    with open_image(tmp_path / name) as opened:
        assert upright_size(opened) == (6, 3)
        assert to_rgb(opened).size == (6, 3)
