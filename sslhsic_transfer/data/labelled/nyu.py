"""Reader of the labeled part of NYU Depth v2, with pictures and depth in one Matlab file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sslhsic_transfer._content import in_short, what_file_is_instead
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.data.labelled.depth_maps import Depth, as_meters
from sslhsic_transfer.data.labelled.layouts import shorten_list
from sslhsic_transfer.data.labelled.mat_file import read_numbers
from sslhsic_transfer.errors import DataError


@dataclass(frozen=True)
class NYU:
    """A split; the HDF5 file is opened anew for each example, so that workers share nothing.

    Attributes:
        path: path of nyu_depth_v2_labeled.mat.
        numbers: numbers of the examples in the file, from 0 on.
    """

    path: Path
    numbers: tuple[int, ...]

    def picture(self, index: int) -> Image.Image:
        """Read one picture, RGB; errors as for `depth`."""
        with _hdf5(self.path) as file:
            return Image.fromarray(np.ascontiguousarray(file["images"][self.numbers[index]].transpose(2, 1, 0)))

    def depth(self, index: int) -> Depth:
        """Read one depth map, (H, W) in meters.

        Raises:
            DataError: the file cannot be read, or has depths below 0.
        """
        with _hdf5(self.path) as file:  # Matlab stores columns first
            values = np.ascontiguousarray(file["depths"][self.numbers[index]].T)
        return as_meters(values, f"{self.path}, number {self.numbers[index] + 1},")


def read_nyu(root: Path, split: str) -> NYU | None:
    """Find a split; return None if the files are missing.

    Raises:
        DataError: a file is invalid, there is no such split, or it has examples that the file lacks.
        MissingDependencyError: h5py is not installed.
    """
    path, splits = root / "nyu_depth_v2_labeled.mat", root / "splits.mat"
    if not path.is_file() or not splits.is_file():
        return None
    numbers = _numbers(splits, split)
    with _hdf5(path) as file:
        (images, bytes_), (depths, _) = (_field(file, name, path) for name in ("images", "depths"))
    if len(images) != 4 or images[1] != 3 or depths != (images[0], *images[2:]) or bytes_ != np.uint8:
        raise DataError(
            f"{path} has images of the shape {images}, {bytes_}, and depths of {depths}; expected (N, 3, width, "
            "height), uint8, and (N, width, height)."
        )
    if odd := [number for number in numbers if not 1 <= number <= images[0]]:
        raise DataError(f"{splits} has the number {odd[0]} in {split}; {path} holds 1 to {images[0]}.")
    return NYU(path, tuple(number - 1 for number in numbers))


def _numbers(splits: Path, split: str) -> list[int]:
    parts = {name: value for name, value in read_numbers(splits).items() if name.endswith("Ndxs")}
    if f"{split}Ndxs" not in parts:
        known = (
            " or ".join(key[:-4][:40] for key in list(parts)[:4])
            or "trainNdxs and testNdxs, which it does not hold as numbers"
        )
        raise DataError(f"{splits} has no split {split!r}; expected {known}.")
    values = parts[f"{split}Ndxs"].ravel()
    if not values.size or not np.isfinite(values).all() or (values != values.astype(np.int64)).any():
        raise DataError(f"{splits}: {split}Ndxs holds {values[:3]}; expected whole numbers from 1 on.")
    return [int(value) for value in values]


def _field(file: Any, name: str, path: Path) -> tuple[tuple[int, ...], Any]:
    """Read shape and type of one of the file's arrays."""
    if name not in file or not hasattr(file[name], "shape"):
        raise DataError(f"{path} has no field {name!r} (found: {shorten_list(list(file))}); expected NYU v2's file.")
    return tuple(file[name].shape), file[name].dtype


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    h5py = optional_import("h5py", extra="transfer", purpose="NYU v2's labelled file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = what_file_is_instead(path) or in_short(error)
        raise DataError(f"{path} cannot be read as HDF5 (Matlab 7.3): {reason}") from error
    with file:
        try:
            yield file
        except DataError:
            raise
        except Exception as error:  # h5py raises many types
            raise DataError(f"{path} is damaged: {in_short(error)}") from error
