"""Which files are pictures: what the installed Pillow reads, and what people keep pictures in besides."""

from functools import lru_cache

from PIL import Image, features

# Measurements and films of which Pillow reads the head alone, and drawings for which it would start another program.
_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
_LIBRARIES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # with which Pillow may have been built
_COMMON = frozenset(
    {".avif", ".heic", ".heif", ".hif", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".webp"}  # compressed
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}  # of cameras
    | {".ai", ".eps", ".exr", ".hdr", ".psb", ".svg", ".wmf"}
)


def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read, those of plugins that are registered by now among them."""
    Image.init()
    return _readable(tuple(Image.ID))


def readable_suffixes() -> frozenset[str]:
    """Endings of the names of picture files that can be read here, such as ``".jpg"``."""
    formats = {*readable_formats(), "MPO"}  # several JPEGs in one, which the plugin for one opens
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def unreadable_suffixes() -> frozenset[str]:
    """Endings of the names of files that people would call pictures, and that cannot be read here."""
    return _COMMON - readable_suffixes()


@lru_cache(maxsize=4)
def _readable(registered: tuple[str, ...]) -> tuple[str, ...]:
    lacking = {name for name, library in _LIBRARIES.items() if not features.check(library)}
    return tuple(name for name in registered if name not in _NO_PICTURES | lacking)
