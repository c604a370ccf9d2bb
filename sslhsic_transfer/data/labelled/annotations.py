"""Annotations of detection data as they are read, before the comparison with the pictures themselves."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sslhsic_transfer.errors import DataError

Corners = tuple[float, float, float, float]
_LARGEST = sys.float_info.max
_SHOWN = 60  # characters of a value quoted in messages
_TRUE = frozenset({"1", "true", "yes"})
_FALSE = frozenset({"", "0", "false", "no", "none", "unspecified"})


class LabelledBox(NamedTuple):
    """One object of a picture.

    Attributes:
        corners: x1, y1, x2, y2 in pixels from the picture's top left corner, x1 ≤ x2 and y1 ≤ y2.
        label: its class, from 0 on.
        ignored: whether evaluation ignores it, so that a detector may find it or not.
        name: its name in messages.
    """

    corners: Corners
    label: int
    ignored: bool
    name: str


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture as its annotation describes it.

    Attributes:
        id: number within the data set.
        path: the file.
        told: width and height according to the annotation; None where it has none.
        objects: objects in the picture.
        source: file of the annotation.
    """

    id: int
    path: Path
    told: tuple[int | None, int | None]
    objects: tuple[LabelledBox, ...]
    source: Path


def in_order(x1: float, y1: float, x2: float, y2: float) -> Corners:
    """Sort corners so that the smaller value of each axis is first."""
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def as_number(value: Any, what: str) -> float:
    """Convert a finite number to float; text is refused.

    Raises:
        DataError: ``value`` is something else; ``what`` names it in the message.
    """
    # The comparison excludes integers too large for a float, and NaN.
    if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    raise DataError(f"{what} is {str(value)[:_SHOWN]!r}; expected a finite number.")


def read_number(text: str | None, what: str) -> float:
    """Parse a finite number.

    Raises:
        DataError: the text is not a finite number; ``what`` names it in the message.
    """
    number: float | str | None = text
    if text is not None and "_" not in text:  # Python's float ignores underscores
        with suppress(ValueError):
            number = float(text)
    return as_number(number, what)


def as_flag(value: Any, what: str) -> bool:
    """Convert a number, boolean or text to a boolean; missing values are False.

    Raises:
        DataError: ``value`` is something else; ``what`` names it in the message.
    """
    if value in (0, 1):
        return bool(value)
    text = "" if value is None else str(value).strip().lower().removesuffix(".0")
    if text not in _TRUE | _FALSE:
        raise DataError(f"{what} is {value!r}; expected 0 or 1.")
    return text in _TRUE


def as_side(value: Any, what: str) -> int | None:
    """Convert a picture's width or height; return None if it is unknown: missing, null, 0 or less.

    Raises:
        DataError: ``value`` is not an integer.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = read_number(value, what) if isinstance(value, str) else as_number(value, what)
    if number != int(number):
        raise DataError(f"{what} is {value!r}; expected a whole number of pixels.")
    return int(number) if number > 0 else None
