"""Boxes for training and evaluation, checked against the pictures and clipped to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.data.labelled.annotations import AnnotatedPicture
from sslhsic_transfer.data.labelled.layouts import tell
from sslhsic_transfer.data.labelled.sizes import Sizes, format_size, picture_sizes, refuse

_SLACK = 1.0  # pixels that a box may exceed its picture without a notice, as formats count from 0 or 1

_LEAST = 0.01  # least side in pixels: after resizing, corners of smaller boxes would coincide
_OTHER_PICTURES = (
    "Take the pictures that were annotated, or correct the sizes: where none is told, the picture's counts."
)
_UNTURNED = (  # sizes alone do not tell if boxes refer to the upright or the stored picture
    "Some say the size before the turn that the EXIF orientation asks for. If boxes lie right in the upright pictures, "
    "correct the sizes; if not, take the orientation out of the pictures: exiftool -Orientation= FILE."
)
_OUTSIDE = "Correct these annotations, or delete the objects."


@dataclass(frozen=True)
class BoxedPicture:
    """A picture and its objects.

    Attributes:
        id: number within the data set, from the annotations.
        path: the file.
        size: width and height in pixels.
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in pixels, from the picture's top left corner.
        labels: (N,) int64 classes, from 0 on.
        ignored: (N,) bool: crowds and VOC's difficult objects, which a detector may find or not.
    """

    id: int
    path: Path
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @property
    def truth(self) -> "Boxes":
        """The result of a perfect detector, with full confidence."""
        return Boxes(self.boxes, np.ones(len(self.boxes), dtype=np.float32), self.labels)


@dataclass(frozen=True)
class Boxes:
    """The objects that a detector finds in a picture.

    Attributes:
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in the picture's own pixels.
        scores: (N,) float32 from 0 to 1.
        labels: (N,) int64 classes, from 0 on.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


def boxed_pictures(pictures: Sequence[AnnotatedPicture], source: Path) -> tuple[BoxedPicture, ...]:
    """Check annotations against the pictures' sizes, and clip boxes to the pictures.

    Objects without an area are left out, and one line of the log counts them.

    Args:
        pictures: the annotated pictures.
        source: the file or folder that lists them.

    Raises:
        DataError: pictures cannot be read or differ in size from their annotations, or objects lie completely outside;
            the message names the first ones.
    """
    sizes = picture_sizes([picture.path for picture in pictures], source)
    _require_told_sizes(pictures, sizes, source)
    objects = [entry for picture in pictures for entry in picture.objects]
    owners = np.repeat(np.arange(len(pictures)), [len(picture.objects) for picture in pictures])
    corners = np.asarray([entry.corners for entry in objects], dtype=np.float64).reshape(-1, 4)
    bounds = np.asarray([size.upright * 2 for size in sizes], dtype=np.float64).reshape(-1, 4)[owners]
    boxes = corners.clip(0, bounds)
    low, high = corners[:, :2], corners[:, 2:]

    def named(number: int) -> str:
        return f"{objects[number].name} of {pictures[owners[number]].path}"

    outside = ((high <= 0) | (low >= bounds[:, :2])).any(axis=1) & (high > low).all(axis=1)
    problems = [
        f"{named(number)}, {format_size(sizes[owners[number]].upright)} pixels, has the corners "
        f"{', '.join(f'{value:g}' for value in corners[number])}"
        for number in np.flatnonzero(outside).tolist()
    ]
    refuse(problems, f"{len(problems)} of {len(objects)} objects of {source} lie outside their pictures", _OUTSIDE)
    kept: NDArray[np.bool_] = np.all(boxes[:, 2:] - boxes[:, :2] >= _LEAST, axis=1)
    cut = (np.abs(corners - boxes) > _SLACK).any(axis=1)
    for which, what in (
        (~kept, "have no area and are left out"),
        (kept & cut, "reach beyond their pictures and are cut"),
    ):
        if which.any():
            tell(f"{which.sum()} of {len(objects)} objects of {source} {what}, such as {named(int(which.argmax()))}.")
    ends = np.cumsum(np.bincount(owners[kept], minlength=len(pictures)))[:-1]
    parts = (
        np.split(boxes[kept].astype(np.float32), ends),
        np.split(np.asarray([entry.label for entry in objects], dtype=np.int64)[kept], ends),
        np.split(np.asarray([entry.ignored for entry in objects], dtype=np.bool_)[kept], ends),
    )
    return tuple(
        BoxedPicture(picture.id, picture.path, size.upright, *own)
        for picture, size, own in zip(pictures, sizes, zip(*parts, strict=True), strict=True)
    )


def _require_told_sizes(pictures: Sequence[AnnotatedPicture], sizes: Sequence[Sizes], source: Path) -> None:
    """Check that sizes in annotations, where given, are those of the pictures."""
    problems, unturned = [], False
    for picture, size in zip(pictures, sizes, strict=True):
        if any(side not in (None, real) for side, real in zip(picture.told, size.upright, strict=True)):
            told = " × ".join("?" if side is None else str(side) for side in picture.told)
            problems.append(f"{picture.path} has {format_size(size.upright)} pixels; its annotation says {told}")
            unturned |= picture.told == size.stored
    said = f"{len(problems)} of {len(pictures)} pictures of {source} have another size than it says"
    refuse(problems, said, _UNTURNED if unturned else _OTHER_PICTURES)
