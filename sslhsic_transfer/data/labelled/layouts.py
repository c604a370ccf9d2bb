"""Functions shared by the readers: choice of the layout, names of classes, maps of numbers, and warnings."""

import logging
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer._content import in_short, what_file_is_instead
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.data.image_folder import sorted_pictures
from sslhsic_transfer.data.picture_formats import expected_pictures, open_picture, tell_of_unread
from sslhsic_transfer.data.storage import require_sound_machine
from sslhsic_transfer.errors import DataError, ImageError
from sslhsic_transfer.text_files import read_lines

T = TypeVar("T")
CLASSES_NAME = "classes.txt"
_SHOWN = 8  # values listed in a message
_LONGEST = 80  # characters of a value in a message
_LOG = logging.getLogger(__name__)


def recognize(
    root: str | Path, split: str, layout: str, layouts: Mapping[str, Callable[[Path, str], T | None]], expected: str
) -> T:
    """Read a folder in the requested layout, or the first that fits.

    Args:
        root: the folder.
        split: name of the split.
        layout: one of ``layouts``, or "auto".
        layouts: readers by name; each returns None if the folder does not have its layout.
        expected: the layouts in words, for the message.

    Raises:
        DataError: there is no such folder, or it has none of the layouts.
    """
    root = Path(root).expanduser()
    if layout != "auto" and layout not in layouts:
        raise DataError(f"Got the layout {layout!r}; expected auto or one of {', '.join(layouts)}.")
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. Expected one of these layouts:\n{expected}")
    for name, read in layouts.items():
        if layout in ("auto", name) and (found := read(root, split)) is not None:
            return found
    there = sorted(entry.name for entry in root.iterdir())
    shown = ", ".join(there[:12]) + (" …" if len(there) > 12 else "")
    wanted = "any known layout" if layout == "auto" else f"the layout {layout}"
    raise DataError(f"{root} has no split {split!r} in {wanted} (found: {shown}). Expected:\n{expected}")


def read_classes(root: Path) -> tuple[str, ...]:
    """Read the names in a folder's classes.txt, one per line; without such a file, return none.

    Raises:
        DataError: the file cannot be read, or names a class twice.
    """
    path = root / CLASSES_NAME
    lines = [(number, class_name(text)) for number, text in read_lines(path)] if path.is_file() else []
    first: dict[str, int] = {}
    for number, name in lines:
        if name in first:
            raise DataError(
                f"{path} names the class {name!r} on the lines {first[name]} and {number}; expected it once."
            )
        first[name] = number
    return tuple(first)


def class_name(text: str) -> str:
    """Normalize a class's name to one line without surrounding blanks, in Unicode's NFC, so that equal names match."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def shorten_list(values: Collection[Any]) -> str:
    """List the first of several values for a message; long ones are cut."""
    texts = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in map(str, list(values)[:_SHOWN])]
    shown = ", ".join(texts) or "nothing"
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


def tell(message: str) -> None:
    """Log a warning about the data, only once if several processes read them."""
    if is_main_process():
        _LOG.warning(message)


def read_map(path: Path) -> tuple[str, NDArray[Any]]:
    """Read the mode and the stored values of a picture file whose values are data; palettes are not applied.

    Raises:
        DataError: the file cannot be read.
    """
    with _map(path) as picture:
        return picture.mode, np.asarray(picture)


def map_header(path: Path) -> tuple[str, tuple[int, int]]:
    """Read mode, width and height of a picture file whose values are data; errors as for `read_map`."""
    with _map(path) as picture:
        return picture.mode, picture.size


@contextmanager
def _map(path: Path) -> Iterator[Image.Image]:
    try:
        with open_picture(path, path) as picture:
            yield picture
    except ImageError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # Pillow raises many types
        require_sound_machine(error, path)
        raise DataError(f"{path} cannot be read: {what_file_is_instead(path) or in_short(error)}") from error


def pictures_in(folder: Path) -> list[Path]:
    """Find the pictures below a folder, in the order of their names; a missing folder has none.

    A warning names pictures in unreadable formats.

    Raises:
        DataError: there are pictures, but none can be read.
    """
    pictures, unread = sorted_pictures(folder)
    if unread and not pictures:
        raise DataError(f"{folder} holds no pictures; {expected_pictures(unread)}")
    tell_of_unread(folder, unread, stacklevel=3)
    return pictures
