"""Reader of lists with one pair of files per line, in the various forms used by data sets and people."""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from sslhsic_transfer.data.labelled.files import all_there, find_files, is_there
from sslhsic_transfer.data.labelled.layouts import tell
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.text_files import read_lines

_MISSING = "None"  # in lists of depth: the picture has no map


def read_split_list(root: Path, split: str, labels: str) -> tuple[Path, list[tuple[Path, Path]]] | None:
    """Read SPLIT.txt of a folder, if there is one, and log how many of its pictures have no labels.

    Args:
        root: folder of the data set.
        split: name of the split.
        labels: the labels' name in the message, such as "mask".

    Returns:
        The list, and its pairs of a picture and the file of its labels.

    Raises:
        DataError: as for `read_pairs`.
    """
    source = root / f"{split}.txt"
    if not source.is_file():
        return None
    pairs, left_out = read_pairs(source, root)
    if left_out:
        tell(f"{left_out} pictures of {source} have no {labels} and are left out.")
    return source, pairs


def read_pairs(source: Path, root: Path) -> tuple[list[tuple[Path, Path]], int]:
    """Read a list whose lines name a picture and the file of its labels; further columns are ignored.

    Columns may be separated by tabs, blanks, commas or semicolons; the separator that leads to existing files is used.
    Names may contain blanks, and paths may be those of another machine: see `find_files`.

    Args:
        source: the text file.
        root: folder that its paths are relative to.

    Returns:
        The pairs, and the number of lines left out because they have ``None`` instead of a file.

    Raises:
        DataError: there are no lines, a line has only one column, or files are missing.
    """
    lines = read_lines(source)
    readable: list[tuple[list[tuple[Path, Path]], int]] = []
    for split in (_at_tabs_or_blanks, *_at_separators(lines), _at_any_blank(root)):
        rows = [split(text) for _, text in lines]
        if all(len(row) >= 2 for row in rows):
            kept = [row for row in rows if row[1] != _MISSING]
            pictures, labels = (find_files([row[column] for row in kept], [root]) for column in (0, 1))
            pairs = list(zip(pictures, labels, strict=True))
            readable.append((pairs, len(rows) - len(kept)))
            if all(is_there(path) for path in chain.from_iterable(pairs)):
                break
    else:
        if not readable:
            number, text = next((line for line in lines if len(_at_tabs_or_blanks(line[1])) < 2), lines[0])
            raise DataError(f"{source}, line {number}: got {text!r}; expected 2 columns: a picture and its labels.")
        readable = readable[:1]
    pairs, left_out = readable[-1]
    all_there(chain.from_iterable(pairs), source)
    return pairs, left_out


def first_columns(text: str) -> Iterator[str]:
    """Yield possible first columns of a line: the whole line, or the part before a separator."""
    yield text
    for separator in (r"\t+", r"\s*[,;]\s*", r"\s+"):
        yield re.split(separator, text, maxsplit=1)[0].strip("\"'")


def _at_tabs_or_blanks(text: str) -> list[str]:
    return [cell for cell in (part.strip() for part in text.split("\t")) if cell] if "\t" in text else text.split()


def _at_separators(lines: list[tuple[int, str]]) -> Iterator[Callable[[str], list[str]]]:
    """Yield functions that split at separators which occur in some line; cells may be in double quotes."""
    for separator, sign in ((",", ","), (";", ";"), (" ", '"'), ("\t", '"')):
        if any(sign in text for _, text in lines):
            yield partial(_cells, separator=separator)


def _cells(text: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []
    return [cell.strip() for cell in cells if cell.strip()]


def _at_any_blank(root: Path) -> Callable[[str], list[str]]:
    """Make a function that splits a line between two names with blanks, if both lead to files."""

    def split(text: str) -> list[str]:
        words = [(match.start(), match.end()) for match in re.finditer(r"\s+", text)]
        for end, start in words:
            picture, rest = text[:end], text[start:]
            ends = [len(rest), *(match.start() for match in re.finditer(r"\s+", rest))]
            for stop in ends if _found(picture, root) else ():
                if _found(rest[:stop], root):
                    return [picture, rest[:stop]]
        return _at_tabs_or_blanks(text)

    return split


def _found(name: str, root: Path) -> bool:
    return is_there(find_files([name], [root])[0])
