"""Boxes as they are learned from and measured by: compared with the pictures, and cut at their edges."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.data.annotations import AnnotatedPicture
from sslhsic_transfer.adapters.data.layouts import tell
from sslhsic_transfer.adapters.data.sizes import Sizes, picture_sizes, refuse, shown

_SLACK = 1.0  # pixels that a box may reach beyond its picture without a word: formats differ in what they count from

_LEAST = 0.01  # pixels of a side, below which a box has no area: resized, its corners would fall together
_OTHER_PICTURES = (
    "Take the pictures that were annotated, or correct the sizes: where none is told, the picture's counts."
)
_UNTURNED = (  # whether boxes lie in the picture as viewers show it or as the file stores it, sizes alone do not tell
    "Some say the size before the turn that the EXIF orientation asks for. If boxes lie right in the upright pictures, "
    "correct the sizes; if not, take the orientation out of the pictures: exiftool -Orientation= FILE."
)
_OUTSIDE = "Correct these annotations, or delete the objects."


@dataclass(frozen=True)
class BoxedPicture:
    """A picture and its objects.

    Attributes:
        id: number within the data set, as the annotations have it.
        path: the file.
        size: width and height in pixels.
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in pixels, from the picture's top left corner.
        labels: (N,) int64 classes, from 0 on.
        ignored: (N,) bool: crowds and what VOC calls difficult, which a detector may find or not.
    """

    id: int
    path: Path
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @property
    def truth(self) -> "Boxes":
        """What a perfect detector would find, in full confidence."""
        return Boxes(self.boxes, np.ones(len(self.boxes), dtype=np.float32), self.labels)


@dataclass(frozen=True)
class Boxes:
    """What a detector finds in a picture.

    Attributes:
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in the picture's own pixels.
        scores: (N,) float32 from 0 to 1.
        labels: (N,) int64 classes, from 0 on.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


def boxed_pictures(pictures: Sequence[AnnotatedPicture], source: Path) -> tuple[BoxedPicture, ...]:
    """Compare annotations with the pictures' own sizes, and cut boxes at the pictures' edges.

    Objects without an area are left out, and one line of the log tells how many.

    Args:
        pictures: as they are annotated.
        source: where they are named.

    Raises:
        DataError: pictures that cannot be read, have another size than their annotation says, or objects that lie
            wholly outside; the first are named.
    """
    sizes = picture_sizes([picture.path for picture in pictures], source)
    _require_told_sizes(pictures, sizes, source)
    notes = _Notes()
    boxed = tuple(_boxed(picture, size.upright, notes) for picture, size in zip(pictures, sizes, strict=True))
    refuse(notes.outside, f"{len(notes.outside)} objects of {source} lie outside their pictures", _OUTSIDE)
    notes.tell(source)
    return boxed


def _require_told_sizes(pictures: Sequence[AnnotatedPicture], sizes: Sequence[Sizes], source: Path) -> None:
    """Refuse annotations that tell another size than the picture has; what they do not tell cannot be wrong."""
    problems, unturned = [], False
    for picture, size in zip(pictures, sizes, strict=True):
        if any(side not in (None, real) for side, real in zip(picture.told, size.upright, strict=True)):
            told = " × ".join("?" if side is None else str(side) for side in picture.told)
            problems.append(f"{picture.path} has {shown(size.upright)} pixels; its annotation says {told}")
            unturned |= picture.told == size.stored
    said = f"{len(problems)} of {len(pictures)} pictures of {source} have another size than it says"
    refuse(problems, said, _UNTURNED if unturned else _OTHER_PICTURES)


@dataclass
class _Notes:
    """What was changed in a split's boxes, and what is wrong with them."""

    outside: list[str] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def change(self, kind: str, picture: AnnotatedPicture, numbers: NDArray[np.int64]) -> None:
        if len(numbers):
            self.changes[kind] += len(numbers)
            self.examples.setdefault(kind, f"{picture.objects[int(numbers[0])].name} of {picture.path.name}")

    def tell(self, source: Path) -> None:
        if self.changes:
            parts = [f"{count} {kind} (such as {self.examples[kind]})" for kind, count in self.changes.items()]
            tell(f"Objects of {source}: {'; '.join(parts)}.")


def _boxed(picture: AnnotatedPicture, size: tuple[int, int], notes: _Notes) -> BoxedPicture:
    corners = np.asarray([entry.corners for entry in picture.objects], dtype=np.float64).reshape(-1, 4)
    bounds = np.asarray([*size, *size], dtype=np.float64)
    low, high = corners[:, :2], corners[:, 2:]
    boxes = corners.clip(0, bounds).astype(np.float32)
    real: NDArray[np.bool_] = np.all(boxes[:, 2:] - boxes[:, :2] >= _LEAST, axis=1)
    outside = ((high <= 0) | (low >= bounds[:2])).any(axis=1) & (high > low).all(axis=1)
    for number in np.flatnonzero(outside):
        entry = picture.objects[number]
        notes.outside.append(
            f"{entry.name} of {picture.path} ({picture.source.name}), {shown(size)} pixels, has the corners "
            f"{', '.join(f'{value:g}' for value in entry.corners)}"
        )
    notes.change("without an area are left out", picture, np.flatnonzero(~real & ~outside))
    beyond = (np.abs(corners - corners.clip(0, bounds)) > _SLACK).any(axis=1)
    notes.change("reach beyond their pictures and are cut", picture, np.flatnonzero(beyond & real))
    kept = [entry for entry, keep in zip(picture.objects, real, strict=True) if keep]
    return BoxedPicture(
        picture.id,
        picture.path,
        size,
        boxes[real],
        np.asarray([entry.label for entry in kept], dtype=np.int64),
        np.asarray([entry.ignored for entry in kept], dtype=np.bool_),
    )
