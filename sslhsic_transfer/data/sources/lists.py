"""Lists of picture files, one per line: a text file, or standard input."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from sslhsic_transfer.data.images import open_image
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.text_files import read_lines


@dataclass(frozen=True)
class ListedPictures:
    """The pictures of a list.

    Attributes:
        root: the folder that relative paths start from.
        keys: the paths as they are written.
        classes: always empty, as lists have no labels.
        labels: always empty.
    """

    root: Path
    keys: tuple[str, ...] = field(repr=False)
    classes: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def open(self, index: int) -> Image.Image:
        """Open one picture, not yet decoded."""
        return open_image(self.path(index))

    def path(self, index: int) -> Path:
        """Return the path of one picture."""
        return self.root / self.keys[index]

    def name(self, index: int) -> str:
        """Return the path of one picture as text."""
        return str(self.path(index))

    def key(self, index: int) -> str:
        """Return the path as it is written in the list."""
        return self.keys[index]


def find_in_list(path: Path) -> ListedPictures:
    """Read a list of files; relative paths start from the list's folder.

    Raises:
        DataError: the list cannot be read, or is empty.
    """
    lines = tuple(line for _, line in read_lines(path) if line)
    if not lines:
        raise DataError(f"{path} lists no pictures; expected one path per line.")
    return ListedPictures(path.parent, lines)


def find_in_standard_input() -> ListedPictures:
    """Read a list of files from standard input; relative paths start from the current folder.

    Raises:
        DataError: it is empty, or not text in the encoding that Python expects there.
    """
    try:
        lines = tuple(line for text in sys.stdin if (line := text.rstrip("\r\n")))
    except UnicodeDecodeError as error:
        raise DataError(f"Standard input is not a list of paths in {error.encoding}: {error.reason}.") from error
    if not lines:
        raise DataError("Standard input lists no pictures; expected one path per line, as `find` prints them.")
    return ListedPictures(Path(), lines)
