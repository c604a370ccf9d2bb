"""WebDataset shards: tar files in which the files of an example are adjacent and share the start of their name.

Each tar is read once to find the positions of its pictures; after that, a picture takes one read at its position.
Order, views and resuming are therefore the same as for folders.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from glob import glob
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sslhsic_transfer._content import in_short
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.data.images import open_bytes
from sslhsic_transfer.data.picture_formats import (
    expected_pictures,
    readable_suffixes,
    tell_of_unread,
    tell_passed_over,
    unreadable_suffixes,
)
from sslhsic_transfer.data.storage import require_sound_machine
from sslhsic_transfer.errors import DataError, ImageError

# One picture of a shard: position of its first byte, number of bytes, label.
_Entry = tuple[int, int, str | None]

# Suffixes of compressed shards.
COMPRESSED = (".tgz", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst")

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class ShardedPictures:
    """The pictures of several tar files.

    Attributes:
        shards: the tar files.
        places: (N, 3) int64: number of the shard, first byte, number of bytes.
        classes: names of the classes, from the ``.cls`` files or ``label`` in the ``.json`` files; if these are
            numbers, all from 0 to the largest. Empty unless every picture has a label and they differ.
        labels: index into ``classes`` of each picture.
    """

    shards: tuple[Path, ...]
    places: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    labels: tuple[int, ...] = field(default=(), repr=False)

    @classmethod
    def index(cls, shards: Sequence[Path]) -> "ShardedPictures":
        """Find the pictures in tar files; a progress bar appears if this takes more than a few seconds.

        A warning names examples that are skipped because their pictures have an unreadable format or a second dot in
        their names.

        Raises:
            DataError: a file is compressed, damaged or not a tar, or there are no pictures.
        """
        refuse_compressed(shards)
        places: list[NDArray[np.int64]] = []
        labels: list[str | None] = []
        passed = _PassedOver()
        for number, path in enumerate(tqdm(shards, desc="Indexing shards", unit="shard", delay=3)):
            entries = list(_entries(path, passed))
            places.append(np.array([(number, start, size) for start, size, _ in entries], np.int64).reshape(-1, 3))
            labels += [label for _, _, label in entries]
        if not labels:
            raise DataError(f"There are no pictures in {_called(shards)}; {passed.expected()}")
        passed.tell(_called(shards))
        return cls(tuple(shards), np.concatenate(places), *_classes(labels))

    def __len__(self) -> int:
        return len(self.places)

    def open(self, index: int) -> Image.Image:
        """Open one picture, not yet decoded.

        Raises:
            ImageError: it is not a picture, or the shard is missing or has become shorter.
        """
        number, start, size = map(int, self.places[index])
        name = f"picture {index} of {self.shards[number]}"
        try:
            with self.shards[number].open("rb") as file:  # opened anew, as processes must not share a position
                file.seek(start)
                content = file.read(size)
        except OSError as error:
            require_sound_machine(error, name)
            raise ImageError(f"Cannot read {name}: {error}") from error
        if len(content) < size:
            raise ImageError(f"Cannot read {name}: the shard ends before byte {start + size}.")
        return open_bytes(content, name)

    def name(self, index: int) -> str:
        """Return the shard and the file's name in it."""
        number, start, _ = map(int, self.places[index])
        return f"{self.shards[number]}/{_member_names(self.shards[number]).get(start, f'byte {start}')}"

    def key(self, index: int) -> str:
        """Return the name of the shard's file and of the picture in it: ``train-000.tar/dog/17.jpg``."""
        number, start, _ = map(int, self.places[index])
        return f"{self.shards[number].name}/{_member_names(self.shards[number]).get(start, f'byte {start}')}"


@lru_cache(maxsize=2)  # pictures are mostly named shard by shard, and a shard is searched as a whole
def _member_names(shard: Path) -> dict[int, str]:
    """Read the names of a shard's files: position of the first byte -> name; empty if it cannot be read any more."""
    try:
        with tarfile.open(shard, "r:") as tar:
            return {member.offset_data: member.name for member in tar}
    except Exception:  # as in `_entries`
        return {}


def expand(pattern: str) -> tuple[Path, ...]:
    """List the shards that match a file name, a glob or a brace pattern such as ``train-{000..012}.tar``, in order.

    Raises:
        DataError: nothing matches, or a shard is missing.
    """
    if Path(pattern).is_file():
        return (Path(pattern),)
    pieces = _BRACES.split(pattern)
    choices = [_alternatives(piece) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    found: list[Path] = []
    missing: list[str] = []
    for name in map("".join, product(*choices)):
        wild = any(character in name for character in "*?[")
        paths = sorted(glob(name)) if wild else [name]  # noqa: PTH207 (it may be absolute)
        found += [Path(path) for path in paths if Path(path).is_file()]
        missing += [path for path in paths or [name] if not Path(path).is_file()]
    if not found and not missing:
        raise DataError(f"{pattern} means no file at all: a range such as {{000..012}} must rise.")
    if missing or not found:
        raise DataError(
            f"{pattern}: {len(missing)} of the shards that this means are not there, first {missing[0]}; expected "
            "tar files."
        )
    return tuple(found)


def refuse_compressed(paths: Sequence[Path]) -> None:
    """Check that no shard is compressed.

    Raises:
        DataError: one is compressed; the message says what to do.
    """
    compressed = [path for path in paths if path.name.endswith(COMPRESSED)]
    if compressed:
        raise DataError(
            f"{compressed[0]} is compressed, so that no picture in it can be read by itself; expected .tar. Unpack it "
            "once, for example with gunzip: pictures are compressed already, and it will hardly grow."
        )


def _alternatives(braces: str) -> list[str]:
    bounds = _RANGE.fullmatch(braces)
    if bounds is None:
        return braces.split(",")
    first, last = bounds.groups()
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _called(shards: Sequence[Path]) -> str:
    return str(shards[0]) if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1} other shards"


class _PassedOver:
    """Pictures of examples that are skipped.

    Attributes:
        unread: pictures in formats that Pillow cannot read here.
        misnamed: pictures whose suffix does not follow the first dot of the name.
    """

    def __init__(self) -> None:
        self.unread: list[PurePath] = []
        self.misnamed: list[PurePath] = []

    def expected(self) -> str:
        """Describe the pictures that were expected, for an error that there are none."""
        if self.misnamed:
            return self._rename()
        return f"{expected_pictures(self.unread)} A name ends with what follows its first dot."

    def tell(self, where: str) -> None:
        """Warn about the skipped pictures."""
        tell_of_unread(where, self.unread, stacklevel=3)
        tell_passed_over(where, self.misnamed, self._rename(), stacklevel=3)

    def _rename(self) -> str:
        shown = f", such as {self.misnamed[0]}" if self.misnamed else ""
        return f"their suffixes do not follow the first dots of their names{shown}: rename them."


def _entries(path: Path, passed: _PassedOver) -> Iterator[_Entry]:
    """Yield the pictures of one shard; from an example with several pictures, the first.

    Args:
        path: the tar file.
        passed: collects one picture of each skipped example.
    """
    readable, unreadable = readable_suffixes(), unreadable_suffixes()
    try:
        with tarfile.open(path, "r:") as tar:
            for _, files in groupby(_files(tar), key=itemgetter(0)):
                picture, unread, misnamed, label = None, None, None, None
                for _, extension, member in files:
                    if f".{extension}" in readable:
                        picture = picture or (member.offset_data, member.size)
                    elif f".{extension}" in unreadable:
                        unread = unread or member.name
                    elif extension in ("cls", "json"):
                        label = _label(tar, member, extension) if label is None else label
                    elif PurePath(extension).suffix in readable:
                        misnamed = misnamed or member.name
                if picture is not None:
                    yield (*picture, label)
                elif unread or misnamed:
                    (passed.unread if unread else passed.misnamed).append(PurePath(f"{path}/{unread or misnamed}"))
    except Exception as error:  # tarfile raises many types, also MemoryError for an invalid size
        if isinstance(error, OSError):
            require_sound_machine(error, path)
        raise DataError(
            f"{path} cannot be read as a shard: {in_short(error)}. Expected a whole, uncompressed tar file: copy it "
            "anew."
        ) from error


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Yield key, extension and member of each visible file; the first dot separates key and extension."""
    for member in tar:
        if member.isreg() and not member.issparse():
            folder, slash, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            if stem:
                yield folder + slash + stem, extension.lower(), member


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> str | None:
    file = tar.extractfile(member)
    content = file.read() if file else b""
    try:
        if extension == "cls":
            return content.decode().strip()
        value = parse_json(content).get("label")
    except (ValueError, AttributeError):
        return None
    return str(value) if isinstance(value, int | str) else None


def _classes(labels: Sequence[str | None]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    known = [label for label in labels if label is not None]
    if len(known) < len(labels) or len(set(known)) < 2:
        return (), ()
    if all(label.isdecimal() and len(label) < 6 for label in known):
        numbers = tuple(map(int, known))
        return tuple(map(str, range(max(numbers) + 1))), numbers
    classes = tuple(sorted(set(known)))
    index = {name: number for number, name in enumerate(classes)}
    return classes, tuple(index[label] for label in known)
