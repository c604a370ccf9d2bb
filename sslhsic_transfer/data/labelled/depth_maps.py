"""Reader of depth maps in separate files: sizes, and values in meters."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer._content import in_short, what_file_is_instead
from sslhsic_transfer.data.labelled.layouts import map_header, read_map
from sslhsic_transfer.errors import DataError

Depth = NDArray[np.float32]


def png_size(path: Path) -> tuple[int, int]:
    """Read width and height of a 16-bit PNG file from its header.

    Raises:
        DataError: as for `read_png`.
    """
    mode, size = map_header(path)
    _require_16_bits(mode, path)
    return size


def read_png(path: Path, units_per_meter: float) -> Depth:
    """Read a depth map from a 16-bit PNG file: (H, W) in meters, 0 where nothing was measured.

    Raises:
        DataError: the file cannot be read, does not have one channel of 16 bits, or has values below 0.
    """
    mode, values = read_map(path)
    _require_16_bits(mode, path)
    return as_meters(values.astype(np.float64) / units_per_meter, path)


def npy_size(path: Path) -> tuple[int, int]:
    """Read width and height of a depth map in NumPy's format from its header.

    Raises:
        DataError: as for `read_diode`.
    """
    height, width = _array(path, mapped=True).shape
    return width, height


def read_diode(path: Path) -> Depth:
    """Read a depth map in NumPy's format: (H, W) in meters, 0 where its ``_mask.npy`` or the map has no depth.

    Raises:
        DataError: one of the files cannot be read, they differ in shape, or depths are below 0.
    """
    depth, mask = _array(path), _array(path.with_name(f"{path.stem}_mask.npy"))
    if depth.shape != mask.shape:
        raise DataError(f"{path} has the shape {depth.shape} and its mask {mask.shape}; expected one shape.")
    return as_meters(np.where(mask > 0, depth, 0), path)


def as_meters(values: NDArray[Any], name: str | Path) -> Depth:
    """Convert depth to float32 meters; values that are not finite become 0, for not measured.

    Raises:
        DataError: there are values below 0; ``name`` names the file in the message.
    """
    with np.errstate(over="ignore"):  # values too large for float32 become infinite
        depth = np.asarray(values).astype(np.float32)
    depth = np.where(np.isfinite(depth), depth, np.float32(0))
    if (least := depth.min(initial=0)) < 0:
        raise DataError(f"{name} holds the depth {least:g}; expected meters, 0 where nothing was measured.")
    return depth


class Extent(NamedTuple):
    """Counts of a depth map's measured pixels and of those within bounds; extent of all measured depths in meters."""

    measured: int
    counted: int
    nearest: float
    median: float
    farthest: float


def within(depth: Depth, least: float, cap: float) -> Extent:
    """Measure the extent of a map's depths, and count those between ``least`` and ``cap`` meters."""
    known = depth[depth > 0]
    if not known.size:
        return Extent(0, 0, 0.0, 0.0, 0.0)
    counted = int(((known >= least) & (known <= cap)).sum())
    return Extent(known.size, counted, float(known.min()), float(np.median(known)), float(known.max()))


def _require_16_bits(mode: str, path: Path) -> None:
    if not mode.startswith("I"):
        raise DataError(f"{path} is a picture of mode {mode}; expected a 16-bit PNG with one channel.")


def _array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """Load the (H, W) numbers of a file; with ``mapped``, without reading them yet."""
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except Exception as error:  # NumPy raises many types
        raise DataError(f"{path} cannot be read: {what_file_is_instead(path) or in_short(error)}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        raise DataError(
            f"{path} holds {getattr(values, 'dtype', type(values).__name__)}; expected an array of numbers."
        )
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (1,)):
        raise DataError(f"{path} has the shape {values.shape}; expected (height, width) or (height, width, 1).")
    return values.reshape(values.shape[:2])
