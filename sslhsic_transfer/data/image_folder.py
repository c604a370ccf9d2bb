"""Folders of pictures, with classes from the names of sub-folders."""

import errno
import os
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.data.images import open_image
from sslhsic_transfer.data.picture_formats import (
    expected_pictures,
    readable_suffixes,
    tell_of_unread,
    unreadable_suffixes,
)
from sslhsic_transfer.errors import DataError


@dataclass(frozen=True)
class ImageFolder:
    """Pictures of one folder, found recursively, in the order of their names.

    Attributes:
        root: the folder.
        paths: every picture in it.
        classes: names of the classes: the sub-folders of ``root``, sorted. Empty if pictures are in ``root`` itself or
            all in one sub-folder, which makes it a plain folder without labels.
        labels: index into ``classes`` of each path; empty without classes.
    """

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]

    @classmethod
    def scan(cls, root: str | Path, *, labelled: bool = False) -> "ImageFolder":
        """Find the pictures below ``root``; a warning names files and classes that are skipped.

        Args:
            root: a plain folder of pictures, or one with a sub-folder for each class.
            labelled: whether classes are required.

        Raises:
            DataError: ``root`` is not a folder or has no pictures; or classes are required, and there are none or the
                pictures of one cannot be read here.
        """
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"{root} is not a folder; expected a folder of pictures.")
        paths, unread = sorted_pictures(root)
        if not paths:
            raise DataError(f"{root} holds no pictures; {expected_pictures(unread)}")
        parts = [path.relative_to(root).parts for path in paths]
        names = [unicodedata.normalize("NFC", part[0]) for part in parts]  # macOS writes NFD
        classes = tuple(sorted(set(names)))
        if any(len(part) == 1 for part in parts) or len(classes) < 2:
            if labelled:
                raise DataError(f"{root} has no classes; expected two or more sub-folders, one a class, and no others.")
            tell_of_unread(root, unread, stacklevel=3)
            return cls(root, tuple(paths), (), ())
        _tell_of_empty(root, set(names), unread, labelled=labelled)
        index = {name: number for number, name in enumerate(classes)}
        return cls(root, tuple(paths), classes, tuple(index[name] for name in names))

    def subset(self, indices: Iterable[int]) -> "ImageFolder":
        """Select some of the pictures, in the order of ``indices``, with the same classes."""
        chosen = list(indices)
        labels = tuple(self.labels[index] for index in chosen) if self.labels else ()
        return ImageFolder(self.root, tuple(self.paths[index] for index in chosen), self.classes, labels)

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Image.Image:
        """Open one picture, not yet decoded."""
        return open_image(self.paths[index])

    def name(self, index: int) -> str:
        """Return the path of one picture."""
        return str(self.paths[index])

    def key(self, index: int) -> str:
        """Return the path of one picture relative to the folder, with forward slashes."""
        return self.paths[index].relative_to(self.root).as_posix()


def sorted_pictures(root: Path) -> tuple[list[Path], list[Path]]:
    """Find pictures as `pictures_below` does, in the order of their names.

    Warnings name folders that may not be read and links that lead to no file.

    Returns:
        Pictures in formats that can be read here, and pictures in others, such as ``.heic``.
    """
    readable = readable_suffixes()
    omitted = _Omitted([], [])
    found = sorted(_below(root, readable | unreadable_suffixes(), omitted))
    if omitted.barred and is_main_process():
        shown = f"{len(omitted.barred)} folders of {root} may not be read and are passed over, such as"
        warnings.warn(f"{shown} {min(omitted.barred)}: allow it, if there are pictures in them.", stacklevel=4)
    if omitted.broken and is_main_process():
        shown = f"{len(omitted.broken)} links of {root} lead to no file and are passed over, such as"
        advice = "fetch the files, by `git annex get` or `dvc pull` if those made the links"
        warnings.warn(f"{shown} {min(omitted.broken)}: {advice}.", stacklevel=4)
    unread = [path for path in found if path.suffix.lower() not in readable]
    return [path for path in found if path.suffix.lower() in readable], unread


def pictures_below(root: Path) -> Iterator[Path]:
    """Yield the files that are pictures by their suffix, in any order, without hidden ones.

    Linked folders are searched, too, except links back to a folder above.
    """
    yield from _below(root, readable_suffixes(), _Omitted([], []))


@dataclass(frozen=True)
class _Omitted:
    """Paths that a search passes over: folders that may not be read, and links with a picture's suffix to no file."""

    barred: list[Path]
    broken: list[Path]


def _tell_of_empty(root: Path, classes: set[str], unread: Sequence[Path], *, labelled: bool) -> None:
    """Warn of folders of ``root`` that give no class; raise if a required class has only unreadable pictures.

    Args:
        root: the folder.
        classes: the classes that have pictures.
        unread: pictures that cannot be read here.
        labelled: whether classes are required.
    """
    named = {path: unicodedata.normalize("NFC", path.relative_to(root).parts[0]) for path in unread}
    lost = [path for path, name in named.items() if name not in classes]
    if lost and labelled:
        raise DataError(f"No picture of the class {named[lost[0]]} of {root} can be read; {expected_pictures(lost)}")
    tell_of_unread(root, unread, stacklevel=4)
    with os.scandir(root) as found:
        folders = [entry.name for entry in found if not entry.name.startswith(".") and _is_folder(entry)]
    empty = sorted(name for name in folders if unicodedata.normalize("NFC", name) not in classes)
    if empty and is_main_process():
        shown = ", ".join(map(repr, empty[:3])) + (", …" if len(empty) > 3 else "")
        warnings.warn(f"No class comes of folders of {root} without pictures: {shown}.", stacklevel=4)


def _below(
    folder: Path, suffixes: frozenset[str], omitted: _Omitted, above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield files with some suffixes below a folder, unless it is one of the folders above it, by resolved path.

    Args:
        folder: the folder to search.
        suffixes: suffixes of the files.
        omitted: collects what is passed over.
        above: resolved folders above this one.
    """
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        return
    except PermissionError:
        if folder.name != "lost+found":  # a folder of the file system, without pictures
            omitted.barred.append(folder)
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _below(folder / entry.name, suffixes, omitted, above | {real})
        elif Path(entry.name).suffix.lower() in suffixes:
            if _is_there(entry.is_file):
                yield folder / entry.name
            elif entry.is_symlink() and not (folder / entry.name).exists():
                omitted.broken.append(folder / entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return _is_there(entry.is_dir)


def _is_there(question: Callable[[], bool]) -> bool:
    """Answer a question about a path; circular links count as missing, as dangling ones do."""
    try:
        return question()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False
