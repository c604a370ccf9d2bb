"""Folders of pictures: what is in them, and the classes that their sub-folders name."""

import errno
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sslhsic_transfer.errors import DataError
from sslhsic_transfer.images import open_image

SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class ImageFolder:
    """Pictures of one folder, found recursively, in the order of their names.

    Attributes:
        root: the folder.
        paths: every picture in it.
        classes: names of the classes: the sub-folders of ``root``, sorted. Empty where pictures lie in ``root`` itself
            or all in one sub-folder: a plain folder without labels.
        labels: index into ``classes`` of each path; empty without classes.
    """

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]

    @classmethod
    def scan(cls, root: str | Path, *, labelled: bool = False) -> "ImageFolder":
        """Find the pictures below ``root``.

        Args:
            root: a plain folder of pictures, or one with a sub-folder for each class.
            labelled: whether classes are required.

        Raises:
            DataError: not a folder, no pictures in it, or no classes where these are required.
        """
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"{root} is not a folder; expected a folder of pictures.")
        paths = tuple(sorted(pictures_below(root)))
        if not paths:
            raise DataError(f"{root} holds no pictures; expected files ending in {', '.join(sorted(SUFFIXES))}.")
        parts = [path.relative_to(root).parts for path in paths]
        names = [unicodedata.normalize("NFC", part[0]) for part in parts]  # macOS writes NFD
        classes = tuple(sorted(set(names)))
        if any(len(part) == 1 for part in parts) or len(classes) < 2:
            if labelled:
                raise DataError(f"{root} has no classes; expected two or more sub-folders, one a class, and no others.")
            return cls(root, paths, (), ())
        index = {name: number for number, name in enumerate(classes)}
        return cls(root, paths, classes, tuple(index[name] for name in names))

    def subset(self, indices: Iterable[int]) -> "ImageFolder":
        """Some of the pictures, in the order of ``indices``; the classes stay."""
        chosen = list(indices)
        labels = tuple(self.labels[index] for index in chosen) if self.labels else ()
        return ImageFolder(self.root, tuple(self.paths[index] for index in chosen), self.classes, labels)

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Image.Image:
        """One picture, not yet decoded."""
        return open_image(self.paths[index])

    def name(self, index: int) -> str:
        """The path of one picture."""
        return str(self.paths[index])


def pictures_below(root: Path) -> Iterator[Path]:
    """Files that are pictures by their name, hidden ones left out, in any order; linked folders are looked into, too.

    A link that leads back to a folder above it is not followed.
    """
    yield from _below(root, frozenset())


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Those of a folder that is not among those above it, by their real places."""
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # such as lost+found: passed over, as by os.walk
        return
    for entry in entries:
        if _leads_in_a_circle(entry):
            continue
        if entry.is_dir():
            yield from _below(folder / entry.name, above | {real})
        elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
            yield folder / entry.name


def _leads_in_a_circle(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to itself, or one of several to one another: passed over, as a dangling one."""
    try:
        entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return True
    return False
