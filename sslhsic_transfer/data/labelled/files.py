"""Search for the files named in lists and annotations, for several ways to write paths."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from sslhsic_transfer.data.images import spread_indices
from sslhsic_transfer.errors import DataError

_TRIED = 500  # number of names that are tried in every way before all count as missing


def is_there(path: Path) -> bool:
    """Check if a path is a file; names that no file can have are not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_files(names: Sequence[str], places: Sequence[Path]) -> list[Path]:
    """Find the files of a list below one of several folders.

    Names are first taken unchanged, then with backslashes as slashes, and with accents as one character or two. If no
    name is found, the first folders of the paths are removed, which belong to another machine. The same folders are
    removed from all names, so that no two of them lead to the same file.

    Args:
        names: paths from the list, relative or absolute.
        places: folders below which the files may be, in order of preference.

    Returns:
        A path for each name; paths of missing files are where they were expected.
    """
    tried = [names[index] for index in sorted(set(spread_indices(len(names), min(_TRIED, len(names)))))]
    for cutting, read in product((False, True), _READINGS):
        for name in tried:
            if (way := _way(read(name), places, cutting=cutting)) is not None:
                place, cut = way
                return [_below(place, _parts(read(other)), cut) for other in names]
    return [_below(places[0], _parts(name), ()) for name in names]


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", _with_slashes(name))


def _decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", _with_slashes(name))


_READINGS: tuple[Callable[[str], str], ...] = (str, _with_slashes, _composed, _decomposed)


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts


def _way(name: str, places: Sequence[Path], *, cutting: bool) -> tuple[Path, tuple[str, ...]] | None:
    """Find the folder that holds a file, and the first parts of its name to remove."""
    parts = _parts(name)
    if not parts:
        return None
    if parts[0] == "/" and is_there(Path(name)):
        return Path("/"), ("/",)
    first = 1 if parts[0] == "/" else 0
    for cut in range(first, len(parts) if cutting else first + 1):
        for place in places:
            if is_there(place.joinpath(*parts[cut:])):
                return place, parts[:cut]
    return None


def _below(place: Path, parts: tuple[str, ...], cut: tuple[str, ...]) -> Path:
    kept = parts[len(cut) :] if parts[: len(cut)] == cut else parts
    return place.joinpath(*(kept[1:] if kept[:1] == ("/",) else kept))


def all_there(paths: Iterable[Path], source: Path) -> None:
    """Check that all files of a list exist.

    Raises:
        DataError: files are missing, or the list is empty; the message counts them, names the first and what is there
            instead.
    """
    paths = list(paths)
    if not paths:
        raise DataError(f"{source} lists no pictures.")
    if missing := [path for path in paths if not is_there(path)]:
        raise DataError(
            f"{len(missing)} of {len(paths)} files that {source} names are not there, such as {missing[0]}"
            f"{_instead(missing[0])}."
        )


def _instead(path: Path) -> str:
    """Describe in brackets what is in the folder where a file was expected."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return f" (there is no folder {path.parent})"
    alike = [name for name in names if Path(name).stem.casefold() == path.stem.casefold()]
    shown = ", ".join((alike or names)[:3]) + (", …" if len(alike or names) > 3 else "")
    return f" ({path.parent.name or path.parent} holds {shown or 'nothing'})"
