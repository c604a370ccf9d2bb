"""Tar shards with bytes and sizes changed: pictures, each read or told, or an error of ours."""

import io
import tarfile
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from sslhsic_transfer.data.images import to_rgb
from sslhsic_transfer.data.sources.shards import ShardedPictures
from sslhsic_transfer.errors import DataError, ImageError
from tests.fuzzing import FORMS, Form, read_all
from tests.mutations import damaged
from tests.sample_pictures import samples

# Numbers in place of a file's size, as tar writes them: none, more than there is, in base 256, below 0.
SIZES = (b"0" * 11 + b"\0", b"77777777777\0", b"\x80\0\0\0\x7f" + b"\xff" * 7, b"\xff" * 12, b"-0000000001\0")
KINDS = b"01234567xgLKSDNV\0"


def _shard() -> bytes:
    whole, content = samples(), io.BytesIO()
    files = {
        "a.jpg": whole["JPEG"],
        "b.png": whole["PNG"],
        "b.json": b'{"label": 3}',
        "é" * 60 + "/c.webp": whole["WebP"],
        "c.cls": b"4",
        "d.heic": b"ftypheic",
    }
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def _headed(content: bytes, place: int, field: int, value: bytes) -> bytes:
    """Put another value into the header at a place, and correct its checksum."""
    changed = bytearray(content)
    changed[place + field : place + field + len(value)] = value
    total = 256 + sum(changed[place : place + 148]) + sum(changed[place + 156 : place + 512])
    changed[place + 148 : place + 156] = b"%06o\0 " % total
    return bytes(changed)


def _other_heads(content: bytes, random: Random) -> bytes:
    heads = [place for place in range(0, len(content), 512) if content[place + 257 : place + 262] == b"ustar"]
    for _ in range(random.choice((1, 1, 2))):
        field, value = random.choice(
            ((124, random.choice(SIZES)), (156, bytes((random.choice(KINDS),))), (0, random.randbytes(100)))
        )
        content = _headed(content, random.choice(heads), field, value)
    return content


def _read(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that are passed over
        pictures = ShardedPictures.index([path])
    for index in range(len(pictures)):
        assert str(path) in pictures.name(index)
        with suppress(ImageError), pictures.open(index) as image:
            assert to_rgb(image).mode == "RGB"


@FORMS
@pytest.mark.parametrize("change", [damaged, _other_heads])
def test_damaged_shards(change, form: Form, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "1000000")
    found = read_all(_read, form.inputs([_shard()], 300, change), tmp_path / "a.tar", most=100)
    assert found["DataError"] > 50
    assert found["read"] > 50


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_a_long_name_of_an_impossible_size(kind, size, tmp_path):
    content = _headed(_headed(_shard(), 0, 124, size), 0, 156, kind)
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar (cannot be read as a shard|.*no pictures)|no pictures in"):
        ShardedPictures.index([tmp_path / "a.tar"])


def test_labels_that_are_nested_too_deeply_are_none(tmp_path):
    picture = samples()["PNG"]
    files = {"a.json": b"[" * 100_000, "a.png": picture}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert len(ShardedPictures.index([tmp_path / "a.tar"])) == 1
