"""Find the files that lists and annotations name, however these write their paths."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from sslhsic_transfer.data.images import evenly
from sslhsic_transfer.errors import DataError

_TRIED = 500  # names that are looked for in every way before none counts as there


def is_there(path: Path) -> bool:
    """Tell whether a path leads to a file; names that no file can have lead nowhere."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_files(names: Sequence[str], places: Sequence[Path]) -> list[Path]:
    """Find the files of a list below one of several folders.

    Names are taken as they are; else backslashes are read as slashes, accents as one character or as two; and where no
    name is there, the first folders of the paths, which another machine had, are cut. What is cut is the same for all
    names, so that no two of them lead to one file.

    Args:
        names: paths, relative or absolute, as the list has them.
        places: folders below which they may lie, in order of preference.

    Returns:
        A path for each name; those that are not there lead where they were expected.
    """
    tried = [names[index] for index in sorted(set(evenly(len(names), min(_TRIED, len(names)))))]
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
    """The folder below which a file lies, and the parts of its name that are cut for it."""
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
    """Refuse a list whose files are not there.

    Raises:
        DataError: with how many, the first of them, and what is there in its place; also where the list is empty.
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
    """Tell in brackets what lies where a file was expected."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return f" (there is no folder {path.parent})"
    alike = [name for name in names if Path(name).stem.casefold() == path.stem.casefold()]
    shown = ", ".join((alike or names)[:3]) + (", …" if len(alike or names) > 3 else "")
    return f" ({path.parent.name or path.parent} holds {shown or 'nothing'})"
