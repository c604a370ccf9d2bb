"""What the readers share: finding a layout in a folder, lists of files, and the names of classes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.errors import DataError
from sslhsic_transfer.image_folder import pictures_below

T = TypeVar("T")
CLASSES_NAME = "classes.txt"


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


def read_list(path: Path, columns: int) -> list[list[str]]:
    """Lines of a text file, split at white space into at least so many columns.

    Raises:
        DataError: a line has fewer.
    """
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) < columns:
            raise DataError(f"{path}, line {number}: got {' '.join(row)!r}; expected {columns} columns.")
    return rows


def read_classes(root: Path) -> tuple[str, ...]:
    """Names of a folder's classes.txt, one a line; none where there is none."""
    path = root / CLASSES_NAME
    return (
        tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        if (path.is_file())
        else ()
    )


def all_there(paths: Iterable[Path], source: Path) -> None:
    """Refuse a list whose files are not there.

    Raises:
        DataError: with how many and the first of them; also where the list is empty.
    """
    paths = list(paths)
    if not paths:
        raise DataError(f"{source} lists no pictures.")
    if missing := [path for path in paths if not path.is_file()]:
        raise DataError(
            f"{len(missing)} of {len(paths)} files that {source} names are not there, such as {missing[0]}."
        )


def read_map(path: Path) -> tuple[str, NDArray[Any]]:
    """A picture file whose numbers are data: its mode, and its values as they are stored, palettes not applied.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def pictures_in(folder: Path) -> list[Path]:
    """Pictures below a folder, in the order of their names; none where there is no folder."""
    return sorted(pictures_below(folder))
