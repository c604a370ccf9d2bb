"""Annotated pictures as readers of detection data find them, before they are compared with the pictures themselves."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sslhsic_transfer.errors import DataError

Corners = tuple[float, float, float, float]
_LARGEST = sys.float_info.max
_SHOWN = 60  # characters of a value that a message quotes
_TRUE = frozenset({"1", "true", "yes"})
_FALSE = frozenset({"", "0", "false", "no", "none", "unspecified"})


class LabelledBox(NamedTuple):
    """One object of a picture.

    Attributes:
        corners: x1, y1, x2, y2 in pixels from the picture's top left corner, x1 ≤ x2 and y1 ≤ y2.
        label: its class, from 0 on.
        ignored: whether a detector may find it or not.
        name: what messages call it.
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
        told: width and height by the annotation; None where it does not say.
        objects: in it.
        source: file of the annotation.
    """

    id: int
    path: Path
    told: tuple[int | None, int | None]
    objects: tuple[LabelledBox, ...]
    source: Path


def in_order(x1: float, y1: float, x2: float, y2: float) -> Corners:
    """Corners with the smaller value of each axis first, whichever were named first."""
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def as_number(value: Any, what: str) -> float:
    """A finite number; text is none.

    Raises:
        DataError: ``value`` is something else; ``what`` says where it stands.
    """
    # A comparison tells what is too large for a float, and that NaN is no number.
    if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    raise DataError(f"{what} is {str(value)[:_SHOWN]!r}; expected a finite number.")


def read_number(text: str | None, what: str) -> float:
    """A finite number from its text.

    Raises:
        DataError: it is none; ``what`` says where it stands.
    """
    number: float | str | None = text
    if text is not None and "_" not in text:  # which Python would pass over
        with suppress(ValueError):
            number = float(text)
    return as_number(number, what)


def as_flag(value: Any, what: str) -> bool:
    """Yes or no, as number, boolean or text; no where nothing is said.

    Raises:
        DataError: ``value`` is something else; ``what`` says where it stands.
    """
    if value in (0, 1):
        return bool(value)
    text = "" if value is None else str(value).strip().lower().removesuffix(".0")
    if text not in _TRUE | _FALSE:
        raise DataError(f"{what} is {value!r}; expected 0 or 1.")
    return text in _TRUE


def as_side(value: Any, what: str) -> int | None:
    """A picture's width or height; None where the annotation does not tell it: nothing, null, 0 or less.

    Raises:
        DataError: ``value`` is no whole number.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = read_number(value, what) if isinstance(value, str) else as_number(value, what)
    if number != int(number):
        raise DataError(f"{what} is {value!r}; expected a whole number of pixels.")
    return int(number) if number > 0 else None
