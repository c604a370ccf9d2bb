"""What the readers share: finding a layout in a folder, names of classes, maps of numbers, and notices."""

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
_SHOWN = 8  # values that a message lists
_LONGEST = 80  # characters of a value
_LOG = logging.getLogger(__name__)


def recognise(
    root: str | Path, split: str, layout: str, layouts: Mapping[str, Callable[[Path, str], T | None]], expected: str
) -> T:
    """Read a folder in the layout that is asked for, or the first that fits.

    Args:
        root: the folder.
        split: part of the data set.
        layout: one of ``layouts``, or "auto".
        layouts: name -> reader, which gives None where the folder is not of this layout.
        expected: the layouts in words, for the message.

    Raises:
        DataError: no such folder, or none of the layouts.
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
    """Names of a folder's classes.txt, one a line; none where there is none.

    Raises:
        DataError: it cannot be read, or names a class twice.
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
    """A class's name in one line without blanks around it, in the Unicode form by which equal names are equal."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def some(values: Collection[Any]) -> str:
    """Give the first of several values, for a message; long ones are cut."""
    texts = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in map(str, list(values)[:_SHOWN])]
    shown = ", ".join(texts) or "nothing"
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


def tell(message: str) -> None:
    """Log a warning about the data, once where several processes read them."""
    if is_main_process():
        _LOG.warning(message)


def read_map(path: Path) -> tuple[str, NDArray[Any]]:
    """A picture file whose numbers are data: its mode, and its values as they are stored, palettes not applied.

    Raises:
        DataError: it cannot be read.
    """
    with _map(path) as picture:
        return picture.mode, np.asarray(picture)


def map_header(path: Path) -> tuple[str, tuple[int, int]]:
    """Mode, width and height of a picture file whose numbers are data; errors as `read_map`."""
    with _map(path) as picture:
        return picture.mode, picture.size


@contextmanager
def _map(path: Path) -> Iterator[Image.Image]:
    try:
        with open_picture(path, path) as picture:
            yield picture
    except ImageError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # Pillow raises many kinds
        require_sound_machine(error, path)
        raise DataError(f"{path} cannot be read: {what_file_is_instead(path) or in_short(error)}") from error


def pictures_in(folder: Path) -> list[Path]:
    """Find the pictures below a folder, in the order of their names; none where there is no folder.

    A warning tells of those that cannot be read here.

    Raises:
        DataError: there are pictures, and none of them can be read.
    """
    pictures, unread = sorted_pictures(folder)
    if unread and not pictures:
        raise DataError(f"{folder} holds no pictures; {expected_pictures(unread)}")
    tell_of_unread(folder, unread, stacklevel=3)
    return pictures
