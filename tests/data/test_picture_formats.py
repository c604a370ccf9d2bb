import multiprocessing
import re
import struct
from io import BytesIO

import pytest
from PIL import Image, PngImagePlugin

from sslhsic_transfer.data import picture_formats
from sslhsic_transfer.data.images import load_image, open_bytes, open_image
from sslhsic_transfer.data.labelled.layouts import read_map
from sslhsic_transfer.data.picture_formats import readable_formats, readable_suffixes, unreadable_suffixes
from sslhsic_transfer.errors import ConfigError, DataError, ImageError
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views.crops import two_views
from tests.memory import peak_of


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".tif", ".jp2", ".pgm", ".tga", ".mpo", ".ico", ".psd"])
def test_what_pillow_reads_is_read(suffix):
    assert suffix in readable_suffixes()
    assert suffix not in unreadable_suffixes()


@pytest.mark.parametrize("suffix", [".pdf", ".eps", ".ps", ".mpg", ".h5", ".grib", ".wmf", ".txt", ".npy"])
def test_documents_films_and_measurements_are_no_pictures(suffix):
    assert suffix not in readable_suffixes()


def test_a_drawing_is_not_drawn_whatever_it_is_called(tmp_path):
    """Pillow would start Ghostscript."""
    content = BytesIO()
    Image.new("RGB", (4, 4)).save(content, "EPS")
    (tmp_path / "drawing.jpg").write_bytes(content.getvalue())
    with pytest.raises(ImageError, match=r"drawing\.jpg"):
        load_image(tmp_path / "drawing.jpg")
    with pytest.raises(ImageError, match="member"):
        open_bytes(content.getvalue(), "member")


def test_formats_that_pillow_was_built_without_are_told(monkeypatch):
    monkeypatch.setattr(picture_formats.features, "check", lambda name: name != "avif")
    picture_formats._readable.cache_clear()
    try:
        assert ".avif" in unreadable_suffixes()
        assert ".webp" in readable_suffixes()
    finally:
        picture_formats._readable.cache_clear()


def test_plugins_that_come_later_count(monkeypatch):
    assert ".heic" in unreadable_suffixes()
    monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIF"])
    monkeypatch.setattr(Image, "EXTENSION", Image.EXTENSION | {".heic": "HEIF"})
    assert "HEIF" in readable_formats()
    assert ".heic" in readable_suffixes()
    assert ".heic" not in unreadable_suffixes()


@pytest.fixture(scope="module")
def panorama(tmp_path_factory):
    """Write a picture of 182 million pixels in a few kilobytes."""
    path = tmp_path_factory.mktemp("panorama") / "wide.png"
    Image.new("1", (14000, 13000)).save(path)
    return path


@pytest.mark.filterwarnings("error")
def test_pictures_of_more_pixels_than_the_bound_are_refused_until_it_is_raised(panorama, monkeypatch):
    with pytest.raises(ImageError) as refused:
        load_image(panorama)
    said = f"{panorama} has 182.0 million pixels; the bound is 128.0 million"
    assert str(refused.value).startswith(said)
    assert "SSLHSIC_MAX_PIXELS=182000000" in str(refused.value)
    assert "attack" not in str(refused.value)
    with pytest.raises(ImageError, match="a member has 182"):
        open_bytes(panorama.read_bytes(), "a member")
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "182000000")
    with open_image(panorama) as image:
        assert image.size == (14000, 13000)


@pytest.mark.filterwarnings("error")
def test_a_bound_above_pillows_own_is_kept_while_a_picture_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (3000, 3000)).save(tmp_path / "a.tif", compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert load_image(tmp_path / "a.tif").size == (3000, 3000)


@pytest.mark.parametrize("told", ["many", "-1", "0", "1e9", "9" * 30])
def test_a_bound_that_is_no_number_is_refused(told, panorama, monkeypatch):
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", told)
    with pytest.raises(ConfigError, match=r"SSLHSIC_MAX_PIXELS is .*expected a number of pixels"):
        load_image(panorama)


@pytest.mark.filterwarnings("error")
def test_pillows_own_bound_is_the_users(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 16)
    picture = load_image(tmp_path / "a.png")
    two_views(picture, 0, AugmentationSettings(size=32, crop_area=(0.9, 1.0)))
    assert Image.MAX_IMAGE_PIXELS == 16


@pytest.mark.parametrize("kind", ["ICO", "ICNS of PNG", "ICNS of JPEG 2000"])
def test_pictures_in_icons_have_the_same_bound(kind, tmp_path, monkeypatch):
    """An icon of 16 × 16 pixels, as its head says."""
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "1000000")
    content = BytesIO()
    Image.new("L", (3000, 3000)).save(content, "JPEG2000" if kind.endswith("2000") else "PNG")
    large = content.getvalue()
    if kind == "ICO":
        head = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(large), 22)
    else:
        head = struct.pack(">4sI4sI", b"icns", 16 + len(large), b"ic07", 8 + len(large))
    (tmp_path / "a").write_bytes(head + large)
    told, grown = peak_of(load_image, tmp_path / "a")
    assert re.match(r"ImageError: .* has 9.0 million pixels; the bound is 1.0 million", told)
    assert grown < 6


def test_the_bound_itself_is_read_without_a_warning(tmp_path, monkeypatch):
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "600")
    assert load_image(tmp_path / "a.png").size == (30, 20)
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "599")
    with pytest.raises(ImageError, match="has 600 pixels; the bound is 599"):
        load_image(tmp_path / "a.png")


def with_texts(path, text, kind, behind):
    """Write a PNG with a text and a color profile before its pixels, or the text behind them."""
    texts = PngImagePlugin.PngInfo()
    if kind == "tEXt":
        texts.add_text("history", text)
    else:
        texts.add_itxt("XML:com.adobe.xmp", text, zip=kind == "zipped")
    content = BytesIO()
    Image.new("RGB", (6, 4), "red").save(content, "PNG", pnginfo=texts)
    data = content.getvalue()
    if behind:
        chunks, place = [], 8
        while place < len(data):
            length = int.from_bytes(data[place : place + 4], "big") + 12
            chunks.append(data[place : place + length])
            place += length
        order = sorted(chunks, key=lambda chunk: (chunk[4:8] == b"IEND" and 2) or chunk[4:8] in (b"tEXt", b"iTXt"))
        data = data[:8] + b"".join(order)
    path.write_bytes(data)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", ["tEXt", "iTXt", "zipped"])
def test_pictures_with_long_texts_are_read(kind, behind, tmp_path):
    """A megabyte is Pillow's own bound for each text that is compressed."""
    sideways = '<rdf tiff:Orientation="6"/>'
    with_texts(tmp_path / "a.png", sideways + " " * 3_000_000, kind, behind)
    picture = load_image(tmp_path / "a.png")
    assert picture.size == ((6, 4) if kind == "tEXt" else (4, 6))
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert two_views(open_image(tmp_path / "a.png"), 0, AugmentationSettings(size=32))
    assert PngImagePlugin.MAX_TEXT_CHUNK == 1 << 20


@pytest.mark.parametrize("behind", [False, True])
def test_texts_that_unpack_to_hundreds_of_megabytes_are_told(behind, tmp_path):
    with_texts(tmp_path / "a.png", "x" * (80 << 20), "zipped", behind)
    told, grown = peak_of(load_image, tmp_path / "a.png")
    assert told.startswith(f"ImageError: Cannot read {tmp_path}/a.png as a picture: its texts or its color profile")
    assert "more than 64 MB" in told
    assert "exiftool" in told
    assert grown < 200


def test_a_large_color_profile_is_read(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png", icc_profile=bytes(3_000_000))
    assert load_image(tmp_path / "a.png").size == (6, 4)


def test_maps_have_the_same_bound(panorama):
    with pytest.raises(DataError, match=r"wide\.png has 182.0 million pixels; .* Set SSLHSIC_MAX_PIXELS"):
        read_map(panorama)


def test_a_reader_that_was_forked_while_a_picture_was_opened_opens_others(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with picture_formats.beyond_pillows_bounds():
        child = multiprocessing.get_context("fork").Process(target=load_image, args=(tmp_path / "a.png",))
        child.start()
    child.join(30)
    assert child.exitcode == 0
