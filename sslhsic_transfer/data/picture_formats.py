"""Formats of pictures: those that the installed Pillow can read, with bounds on size, and other common ones."""

import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePath
from typing import IO, Any

from PIL import BlpImagePlugin, IcnsImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin, features

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.errors import ConfigError, ImageError

# Each reader needs 7 to 20 bytes per pixel while it reads a picture; phones take pictures of 108 million pixels.
_MOST_PIXELS = 128_000_000
MOST_PIXELS_VARIABLE = "SSLHSIC_MAX_PIXELS"
# Bytes of unpacked texts in a PNG, each and in all. Editors store histories in them, of more than Pillow's megabyte.
_MOST_TEXT = 64 << 20

# Measurements and films of which Pillow reads only the header, and drawings for which it would start another program.
_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
_LIBRARIES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # optional parts of Pillow
_COMMON = frozenset(
    {".avif", ".heic", ".heif", ".hif", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".webp"}  # compressed
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}  # raw files of cameras
    | {".ai", ".eps", ".exr", ".hdr", ".psb", ".svg", ".wmf"}
)


def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the readable formats, including those of plugins registered so far."""
    Image.init()
    return _readable(tuple(Image.ID))


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of picture files that can be read here, such as ``".jpg"``."""
    formats = {*readable_formats(), "MPO"}  # several JPEGs in one, which the plugin for one opens
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def unreadable_suffixes() -> frozenset[str]:
    """Return the suffixes of common picture files that cannot be read here."""
    return _COMMON - readable_suffixes()


def tell_of_unread(source: str | Path, unread: Sequence[PurePath], *, stacklevel: int = 2) -> None:
    """Warn of pictures that are skipped because Pillow cannot read them; arguments as for `tell_passed_over`."""
    tell_passed_over(source, unread, expected_pictures(unread), stacklevel=stacklevel + 1)


def tell_passed_over(source: str | Path, passed: Sequence[PurePath], why: str, *, stacklevel: int = 2) -> None:
    """Warn of pictures that are skipped, only once if several processes read the same.

    Args:
        source: the folder or shard that holds them.
        passed: their paths; if there are none, there is no warning.
        why: the reason, and what to do.
        stacklevel: stack level of the warning, counted from the caller.
    """
    if passed and is_main_process():
        warnings.warn(f"{len(passed)} pictures of {source} are passed over; {why}", stacklevel=stacklevel + 1)


def expected_pictures(unread: Sequence[PurePath]) -> str:
    """Describe the pictures expected where there are none: their formats, or how to convert the unreadable ones.

    Args:
        unread: paths of pictures that cannot be read here.
    """
    if unread:
        kinds = sorted({path.suffix.lower() for path in unread})
        return f"Pillow reads no {', '.join(kinds)} here, such as {unread[0]}: convert them, to JPEG for instance."
    return f"expected files ending in {', '.join(sorted(readable_suffixes()))}."


def open_picture(file: str | Path | IO[bytes], name: str | Path) -> Image.Image:
    """Open a picture without decoding it, if it has no more pixels than allowed.

    Args:
        file: path or open file.
        name: its name in errors.

    Raises:
        ImageError: it has more pixels than allowed.
        ValueError: it is a PNG whose texts are too long.
        ConfigError: the bound in the environment is not a number.
        Exception: errors of Pillow, which have many types.
    """
    with beyond_pillows_bounds(most_pixels(), str(name)):
        image = Image.open(file, formats=readable_formats())
    if (bounded := _BOUNDED.get(type(image))) is not None:
        image.__class__ = bounded
    return image


@contextmanager
def beyond_pillows_bounds(most: int | None = None, name: str = "") -> Iterator[None]:
    """Replace Pillow's own bounds on pixels and texts, which are global, while the block runs.

    Args:
        most: largest number of pixels of a picture, and of each picture inside it; None: any number.
        name: the picture's name in errors.

    Raises:
        ImageError: it has more pixels.
        ValueError: the texts of a PNG exceed the bound.
    """
    with _LOCK:
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None if most is None else _Bound(most)
        texts = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MOST_TEXT
        try:
            yield
        except Image.DecompressionBombError as error:
            found = int(next(iter(re.findall(r"\d+", str(error)))))
            raise ImageError(
                f"{name or 'The picture'} has {_millions(found)} pixels; the bound is {_millions(most or 0)}, for the "
                f"memory that they take. Set {MOST_PIXELS_VARIABLE}={found} in the environment to allow them."
            ) from None
        except ValueError as error:
            if "MAX_TEXT" not in str(error):
                raise
            raise ValueError(
                f"its texts or its color profile have more than {_MOST_TEXT >> 20} MB: remove them, for example by "
                "exiftool -all= FILE"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = pixels
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = texts


class _Bound(int):
    """A bound beyond which Pillow raises an error; normally it warns there, and raises only at twice the bound."""

    def __rmul__(self, _: int) -> int:
        return int(self)


class _Png(PngImagePlugin.PngImageFile):
    """A PNG whose texts after the pixels may be as long as those before them."""

    def load_end(self) -> None:
        with beyond_pillows_bounds():
            super().load_end()


class _Icns(IcnsImagePlugin.IcnsImageFile):
    """Icons, which contain pictures of several sizes that are opened when one is decoded."""

    def load(self, scale: int | None = None) -> Any:
        with beyond_pillows_bounds(most_pixels(), os.fsdecode(self.filename)):
            return super().load(scale)


class _Blp(BlpImagePlugin.BlpImageFile):
    """A texture, which may contain a JPEG of another size."""

    def load(self) -> Any:
        with beyond_pillows_bounds(most_pixels(), os.fsdecode(self.filename)):
            return super().load()


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF, whose tiles have their own size."""

    def load_prepare(self) -> None:
        with beyond_pillows_bounds(most_pixels(), os.fsdecode(self.filename)):
            super().load_prepare()


_BOUNDED: dict[type[Image.Image], type[ImageFile.ImageFile]] = {
    PngImagePlugin.PngImageFile: _Png,
    IcnsImagePlugin.IcnsImageFile: _Icns,
    BlpImagePlugin.BlpImageFile: _Blp,
    TiffImagePlugin.TiffImageFile: _Tiff,
}


def most_pixels() -> int:
    """Return the largest number of pixels of a picture: the environment's SSLHSIC_MAX_PIXELS, or 128 million.

    Raises:
        ConfigError: the variable is not an integer above 0.
    """
    told = os.environ.get(MOST_PIXELS_VARIABLE, "").strip()
    if not told:
        return _MOST_PIXELS
    if not told.isdecimal() or not 0 < len(told.lstrip("0")) < 19:
        raise ConfigError(f"{MOST_PIXELS_VARIABLE} is {told!r}; expected a number of pixels, such as {_MOST_PIXELS}.")
    return int(told)


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.1f} million" if pixels >= 1e6 else str(pixels)


_LOCK = threading.RLock()


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):  # a thread that held the lock does not exist in the child
    os.register_at_fork(after_in_child=_renew_lock)


@lru_cache(maxsize=4)
def _readable(registered: tuple[str, ...]) -> tuple[str, ...]:
    lacking = {name for name, library in _LIBRARIES.items() if not features.check(library)}
    return tuple(name for name in registered if name not in _NO_PICTURES | lacking)
