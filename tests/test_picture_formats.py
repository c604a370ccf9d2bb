from io import BytesIO

import pytest
from PIL import Image

from sslhsic_transfer import picture_formats
from sslhsic_transfer.errors import ImageError
from sslhsic_transfer.images import load_image, open_bytes
from sslhsic_transfer.picture_formats import readable_formats, readable_suffixes, unreadable_suffixes


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
