"""Depth data: pairs of a picture and measured depth in metres."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.adapters.data.layouts import all_there, pictures_in, read_list, read_map, recognise
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.images import load_image

LAYOUTS = """\
  lists  SPLIT.txt with "picture depth" a line; depth as 16-bit PNG, 0 where there is none
  nyu    nyu_depth_v2_labeled.mat and splits.mat; SPLIT is train or test
  kitti  SPLIT.txt with "picture depth" a line (the lists of Eigen et al.), depth as sparse 16-bit PNG of 1/256 m; lines
         whose depth is None are left out
  diode  SPLIT/ with PICTURE.png, PICTURE_depth.npy and PICTURE_depth_mask.npy in any sub-folders
Only lists are recognised by themselves; name another layout."""

_MILLIMETRES = 1000.0
_KITTI_UNITS = 256.0  # a metre

Depth = NDArray[np.float32]


@dataclass(frozen=True)
class DepthData:
    """One split of a data set.

    Attributes:
        name: of the data set.
        split: which part.
        names: what each example is called.
        read_picture: index -> RGB picture.
        read_depth: index -> (H, W) metres, 0 where nothing was measured.
    """

    name: str
    split: str
    names: tuple[str, ...]
    read_picture: Callable[[int], Image.Image]
    read_depth: Callable[[int], Depth]

    def __len__(self) -> int:
        return len(self.names)


def find_depth(
    root: str | Path, split: str, layout: str = "auto", *, units_per_metre: float = _MILLIMETRES
) -> DepthData:
    """Find a split of a depth data set.

    Args:
        root: folder of the data set.
        split: such as ``"train"`` or ``"val"``: what the layout calls it.
        layout: "lists", "nyu", "kitti" or "diode"; "auto": lists.
        units_per_metre: of the 16-bit PNG files of "lists".

    Raises:
        DataError: no such split in that layout, or files that are not there.
    """
    lists = partial(_lists, units_per_metre=units_per_metre)
    readers: dict[str, Callable[[Path, str], DepthData | None]] = {
        "lists": lists,
        "kitti": partial(_lists, units_per_metre=_KITTI_UNITS, gaps=True),
        "nyu": _nyu,
        "diode": _diode,
    }
    return recognise(root, split, layout, {"lists": lists} if layout == "auto" else readers, LAYOUTS)


@dataclass(frozen=True)
class _Files:
    """Pictures and maps in files of their own; picklable, for worker processes."""

    pairs: tuple[tuple[Path, Path], ...]
    units_per_metre: float

    def picture(self, index: int) -> Image.Image:
        return load_image(self.pairs[index][0])

    def depth(self, index: int) -> Depth:
        return read_depth_png(self.pairs[index][1], self.units_per_metre)

    def depth_array(self, index: int) -> Depth:
        return _read_diode(self.pairs[index][1])


def read_depth_png(path: Path, units_per_metre: float) -> Depth:
    """A depth map of a 16-bit PNG file: (H, W) metres, 0 where nothing was measured.

    Raises:
        DataError: it cannot be read, or is no map of one channel with 16 bits.
    """
    mode, values = read_map(path)
    if not mode.startswith("I"):
        raise DataError(f"{path} is a picture of mode {mode}; expected a 16-bit PNG with one channel.")
    return (values.astype(np.float64) / units_per_metre).astype(np.float32)


def _lists(root: Path, split: str, units_per_metre: float, *, gaps: bool = False) -> DepthData | None:
    """Pairs of a list; with gaps, lines without depth are left out."""
    source = root / f"{split}.txt"
    if not source.is_file():
        return None
    rows = [row for row in read_list(source, columns=2) if not (gaps and row[1] == "None")]
    files = _Files(tuple((root / picture, root / depth) for picture, depth, *_ in rows), units_per_metre)
    all_there((path for pair in files.pairs for path in pair), source)
    names = tuple(str(picture.relative_to(root)) for picture, _ in files.pairs)
    return DepthData(root.resolve().name, split, names, files.picture, files.depth)


def _diode(root: Path, split: str) -> DepthData | None:
    source = root / split
    pictures = pictures_in(source)
    if not pictures:
        return None
    files = _Files(tuple((path, path.with_name(f"{path.stem}_depth.npy")) for path in pictures), 1.0)
    masks = [depth.with_name(f"{depth.stem}_mask.npy") for _, depth in files.pairs]
    all_there((*masks, *(depth for _, depth in files.pairs)), source)
    names = tuple(str(path.relative_to(root)) for path in pictures)
    return DepthData(root.resolve().name, split, names, files.picture, files.depth_array)


def _read_diode(path: Path) -> Depth:
    try:
        depth = np.load(path, allow_pickle=False)
        mask = np.load(path.with_name(f"{path.stem}_mask.npy"), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} or its mask cannot be read: {error}") from error
    depth = depth.reshape(depth.shape[:2])
    if depth.shape != mask.shape:
        raise DataError(f"{path} has the shape {depth.shape} and its mask {mask.shape}; expected one shape.")
    return np.where((mask > 0) & np.isfinite(depth), depth, 0).astype(np.float32)


@dataclass(frozen=True)
class _NYU:
    """The labelled part of NYU v2: one HDF5 file, opened anew for each example, so that workers need share nothing."""

    path: Path
    numbers: tuple[int, ...]  # from 0

    def picture(self, index: int) -> Image.Image:
        with _hdf5(self.path) as file:
            return Image.fromarray(np.ascontiguousarray(file["images"][self.numbers[index]].transpose(2, 1, 0)))

    def depth(self, index: int) -> Depth:
        with _hdf5(self.path) as file:  # Matlab stores columns first
            return np.ascontiguousarray(file["depths"][self.numbers[index]].T, dtype=np.float32)


def _nyu(root: Path, split: str) -> DepthData | None:
    path, splits = root / "nyu_depth_v2_labeled.mat", root / "splits.mat"
    if not path.is_file() or not splits.is_file():
        return None
    matlab = optional_import("scipy.io", extra="transfer", purpose="NYU v2's splits")
    parts = {key: value.ravel() for key, value in matlab.loadmat(splits).items() if key.endswith("Ndxs")}
    if f"{split}Ndxs" not in parts:
        raise DataError(f"{splits} has no split {split!r}; expected {' or '.join(k[:-4] for k in parts)}.")
    numbers = tuple(int(number) - 1 for number in parts[f"{split}Ndxs"])
    reader = _NYU(path, numbers)
    return DepthData("nyu-v2", split, tuple(f"{n + 1:04d}" for n in numbers), reader.picture, reader.depth)


def _hdf5(path: Path):  # type: ignore[no-untyped-def] # h5py's own
    h5py = optional_import("h5py", extra="transfer", purpose="NYU v2's labelled file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF5 (Matlab 7.3): {error}") from error
