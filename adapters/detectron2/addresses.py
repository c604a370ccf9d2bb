"""Addresses that make Detectron2's own reader read some pictures as `load_image` does."""

from io import BytesIO
from pathlib import Path
from typing import IO, Any

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.utils.file_io import PathHandler, PathManager
from PIL import ExifTags

from sslhsic_transfer.data.images import load_image, open_image
from sslhsic_transfer.errors import ImageError

PREFIX = "sslhsic-rgb://"


class _AsRead(PathHandler):  # type: ignore[misc]
    """Handler that opens a picture as an upright file with three channels of 8 bits."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **options: Any) -> str:
        return path.removeprefix(PREFIX)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[bytes]:
        content = BytesIO()
        load_image(path.removeprefix(PREFIX)).save(content, "BMP")
        content.seek(0)
        return content

    def _exists(self, path: str, **options: Any) -> bool:
        return Path(path.removeprefix(PREFIX)).exists()

    def _isfile(self, path: str, **options: Any) -> bool:
        return Path(path.removeprefix(PREFIX)).is_file()


def address_of(path: Path) -> str:
    """Return a picture's name for Detectron2: its path, or an address if its reader would clip it or rotate it twice.

    Addresses are given to pictures with 16 or 32 bits per channel, and to TIFFs with an orientation tag.
    """
    try:
        with open_image(path) as image:
            deep = image.mode in ("I", "F") or image.mode.startswith("I;")
            tags: Any = getattr(image, "tag_v2", None) or {}
            odd = deep or tags.get(ExifTags.Base.Orientation, 1) != 1
    except ImageError:  # reported, with its name, when it is read
        odd = False
    if not odd:
        return str(path)
    PathManager.register_handler(_AsRead())
    return f"{PREFIX}{path.absolute()}"


def local_path(name: str) -> str:
    """Return the file for a name in a Detectron2 data set: an address, a path, or one that its PathManager fetches."""
    found: str = PathManager.get_local_path(name.removeprefix(PREFIX))
    return found
