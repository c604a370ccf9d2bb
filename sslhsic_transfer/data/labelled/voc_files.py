"""Reader of the names in Pascal VOC's lists, and search for their pictures."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from sslhsic_transfer.data.labelled.files import is_there
from sslhsic_transfer.data.labelled.lists import first_columns
from sslhsic_transfer.data.picture_formats import readable_suffixes
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.text_files import read_lines

_FLAGGED = re.compile(r"\S+\s+-?\d")  # a name, and a flag for objects of some class


def read_names(source: Path, known: Callable[[str], bool]) -> list[str]:
    """Read the names of a list, one per line.

    Names may contain blanks, have the picture's suffix or folders before them, and be followed by other columns.

    Args:
        source: the text file.
        known: function that checks if there are labels for a name.

    Raises:
        DataError: two different lines lead to the same name.
    """
    names: list[str] = []
    written: dict[str, str] = {}
    for number, text in read_lines(source):
        readings = list(_readings(text))
        unknown = text.split()[0] if _FLAGGED.fullmatch(text) else text
        whole, name = next(((c, n) for c, n in readings if known(n)), (unknown, unknown))
        if written.setdefault(name, whole) != whole:
            raise DataError(f"{source}, line {number}: {whole} and {written[name]} are both called {name}.")
        names.append(name)
    return names


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """Yield columns of a line that may name the picture, with the name that each would mean."""
    for column in first_columns(text):
        yield column, column
        path = PurePosixPath(column.replace("\\", "/"))
        for name in (str(path), path.name):
            if path.suffix.lower() in readable_suffixes():
                yield column, name.removesuffix(path.suffix)
            yield column, name


class PictureFolder:
    """A folder of pictures by name without suffix, which is listed only if a name is not that of a .jpg.

    Args:
        folder: the folder of the pictures.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[Path, list[Path]] | None = None

    def find(self, name: str, filename: str | None = None) -> Path:
        """Find the picture of a name: ``NAME.jpg``, or the only file with another suffix.

        Args:
            name: the name without suffix.
            filename: the annotation's name of the file, used if the name alone is ambiguous.

        Returns:
            The file, which may not exist.

        Raises:
            DataError: several files have this name.
        """
        usual = self.folder / f"{name}.jpg"
        if is_there(usual):
            return usual
        found = self._named(name)
        told = self.folder / PurePosixPath((filename or "").strip().replace("\\", "/")).name if filename else usual
        if len(found) > 1 and told not in found:
            raise DataError(
                f"{self.folder} holds {' and '.join(path.name for path in found)}; expected one picture {name}."
            )
        if len(found) == 1:
            return found[0]
        return told if is_there(told) else usual

    def _named(self, name: str) -> list[Path]:
        if self._by_name is None:
            self._by_name = {}
            suffixes = readable_suffixes()
            for path in sorted(self.folder.rglob("*")) if self.folder.is_dir() else ():
                if path.suffix.lower() in suffixes:
                    self._by_name.setdefault(path.with_suffix(""), []).append(path)
        return self._by_name.get(self.folder / name, [])
