"""Reader of masks: the numbers in a file, and those that occur in a whole split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.data.images import spread_indices
from sslhsic_transfer.data.labelled.layouts import read_map
from sslhsic_transfer.data.labelled.sizes import side_by_side
from sslhsic_transfer.errors import DataError

SURVEYED = 2000  # number of masks that are checked before training, enough to find faults of many


def read_values(path: Path) -> NDArray[Any]:
    """Read the numbers of a mask: (H, W), integers from 0 on.

    Raises:
        DataError: the file is not a readable picture with one channel, or has other numbers.
    """
    values = read_map(path)[1]
    if values.ndim != 2:
        raise DataError(
            f"{path} has {values.shape[-1]} channels; expected one, of class numbers: convert colors first."
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer) or values.min(initial=0) < 0:
        kind = "numbers below 0" if np.issubdtype(values.dtype, np.integer) else f"numbers of type {values.dtype}"
        raise DataError(f"{path} holds {kind}; expected class numbers, whole ones from 0 on.")
    return values


def survey(paths: Sequence[Path], most: int = SURVEYED) -> dict[Path, list[int]]:
    """Find the numbers that occur in the masks of a split.

    Args:
        paths: all masks of the split.
        most: largest number of masks to decode, spread evenly over the split.

    Returns:
        The numbers in each decoded mask, in rising order.

    Raises:
        DataError: as for `read_values`.
    """
    chosen = [paths[index] for index in sorted(set(spread_indices(len(paths), min(most, len(paths)))))]
    return dict(zip(chosen, side_by_side(_distinct, chosen, "masks"), strict=True))


def _distinct(path: Path) -> list[int]:
    values = read_values(path)
    if values.dtype.itemsize <= 2:  # several times faster than sorting
        return np.flatnonzero(np.bincount(values.ravel())).tolist()
    return np.unique(values).tolist()
