"""Masks: the numbers in their files, and which numbers a whole split holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.data.images import evenly
from sslhsic_transfer.data.labelled.layouts import read_map
from sslhsic_transfer.data.labelled.sizes import side_by_side
from sslhsic_transfer.errors import DataError

SURVEYED = 2000  # masks of a split that are decoded before training: what is wrong with many shows in these


def read_values(path: Path) -> NDArray[Any]:
    """The numbers of a mask: (H, W), whole, from 0 on.

    Raises:
        DataError: not a readable picture with one channel, or other numbers.
    """
    values = read_map(path)[1]
    if values.ndim != 2:
        raise DataError(
            f"{path} has {values.shape[-1]} channels; expected one, of class numbers: convert colours first."
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer) or values.min(initial=0) < 0:
        kind = "numbers below 0" if np.issubdtype(values.dtype, np.integer) else f"numbers of type {values.dtype}"
        raise DataError(f"{path} holds {kind}; expected class numbers, whole ones from 0 on.")
    return values


def survey(paths: Sequence[Path], most: int = SURVEYED) -> dict[Path, list[int]]:
    """Look which numbers the masks of a split hold.

    Args:
        paths: all of its masks.
        most: how many are decoded at most, spread evenly over the split.

    Returns:
        The numbers of each mask that was decoded, in rising order.

    Raises:
        DataError: as `read_values`.
    """
    chosen = [paths[index] for index in sorted(set(evenly(len(paths), min(most, len(paths)))))]
    return dict(zip(chosen, side_by_side(_distinct, chosen, "masks"), strict=True))


def _distinct(path: Path) -> list[int]:
    values = read_values(path)
    if values.dtype.itemsize <= 2:  # several times faster than sorting
        return np.flatnonzero(np.bincount(values.ravel())).tolist()
    return np.unique(values).tolist()
