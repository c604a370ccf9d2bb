"""Depth data: pairs of a picture and measured depth in meters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sslhsic_transfer.data.images import load_image, spread_indices
from sslhsic_transfer.data.labelled.depth_maps import Depth, npy_size, png_size, read_diode, read_png, within
from sslhsic_transfer.data.labelled.files import all_there
from sslhsic_transfer.data.labelled.layouts import pictures_in, recognize, tell
from sslhsic_transfer.data.labelled.lists import read_pairs
from sslhsic_transfer.data.labelled.nyu import read_nyu
from sslhsic_transfer.data.labelled.sizes import require_same_sizes, side_by_side
from sslhsic_transfer.errors import DataError

EXPECTED_LAYOUTS = """\
  lists  SPLIT.txt with "picture depth" a line; depth as 16-bit PNG, 0 where there is none; lines whose depth is
         None are left out
  nyu    nyu_depth_v2_labeled.mat and splits.mat; SPLIT is train or test
  kitti  SPLIT.txt with "picture depth" a line (the lists of Eigen et al.), depth as sparse 16-bit PNG of 1/256 m; lines
         whose depth is None are left out
  diode  SPLIT/ with PICTURE.png, PICTURE_depth.npy and PICTURE_depth_mask.npy in any sub-folders
Only lists are recognized by themselves; name another layout."""

_MILLIMETRES = 1000.0
_KITTI_UNITS = 256.0  # per meter
_SURVEYED = 500  # number of maps that are checked before training, enough to find faults of many
# Bounds of the median in meters; beyond them, the unit may be wrong.
_NEAREST, _FARTHEST = 0.01, 1000.0


@dataclass(frozen=True)
class DepthData:
    """One split of a data set.

    Attributes:
        name: name of the data set.
        split: name of the split.
        names: name of each example.
        read_picture: function that reads the RGB picture of an index.
        read_depth: function that reads the depth of an index, (H, W) in meters, 0 where nothing was measured.
    """

    name: str
    split: str
    names: tuple[str, ...]
    read_picture: Callable[[int], Image.Image]
    read_depth: Callable[[int], Depth]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Depth has no classes."""
        return ()

    def require_depth(self, least: float, cap: float) -> None:
        """Check that depth is suitable for training and evaluation; at most 500 maps are decoded.

        Args:
            least: least depth that counts, in meters.
            cap: largest depth that counts, in meters.

        Raises:
            DataError: no pixel was measured within these bounds, half of them are kilometers away, or a map cannot be
                read.
        """
        chosen = sorted(set(spread_indices(len(self), min(_SURVEYED, len(self)))))
        found = side_by_side(lambda index: within(self.read_depth(index), least, cap), chosen, "depth maps")
        measured, counted = (sum(getattr(entry, name) for entry in found) for name in ("measured", "counted"))
        maps = f"the {len(chosen)} depth maps of {self.split} of {self.name}"
        if not measured:
            raise DataError(f"No pixel of {maps} has a depth: all are 0, not finite or masked; expected meters.")
        known = [entry for entry in found if entry.measured]
        nearest, farthest = min(entry.nearest for entry in known), max(entry.farthest for entry in known)
        middle = float(np.median([entry.median for entry in known]))
        said = f"The depths of {maps} go from {nearest:.3g} to {farthest:.3g} m, half of them beyond {middle:.3g} m"
        if not counted:
            raise DataError(f"{said}; none is from {least:g} to {cap:g} m (protocol.least, protocol.cap). {_UNITS}")
        if middle > _FARTHEST:
            raise DataError(f"{said}. {_UNITS}")
        if middle < _NEAREST:
            tell(f"{said}. {_UNITS}")
        if empty := len(found) - sum(entry.counted > 0 for entry in found):
            tell(f"{empty} of {maps} have no pixel with a depth from {least:g} to {cap:g} m and count for nothing.")


_UNITS = "Expected meters: for PNG files say how many of their units a meter has, units_per_meter=1000 for millimeters."


def find_depth(
    root: str | Path, split: str, layout: str = "auto", *, units_per_meter: float = _MILLIMETRES
) -> DepthData:
    """Find a split of a depth data set.

    Args:
        root: folder of the data set.
        split: the layout's name of the split, such as ``"train"`` or ``"val"``.
        layout: "lists", "nyu", "kitti" or "diode"; "auto": lists.
        units_per_meter: units per meter in the 16-bit PNG files of "lists".

    Raises:
        DataError: there is no such split in that layout, files are missing or invalid, or depth maps differ in size
            from their pictures.
    """
    lists = partial(_lists, units_per_meter=units_per_meter)
    readers: dict[str, Callable[[Path, str], DepthData | None]] = {
        "lists": lists,
        "kitti": partial(_lists, units_per_meter=_KITTI_UNITS),
        "nyu": _nyu,
        "diode": _diode,
    }
    return recognize(root, split, layout, {"lists": lists} if layout == "auto" else readers, EXPECTED_LAYOUTS)


@dataclass(frozen=True)
class _Files:
    """Reader of pictures and maps in separate files; picklable, for worker processes."""

    pairs: tuple[tuple[Path, Path], ...]
    units_per_meter: float

    def picture(self, index: int) -> Image.Image:
        return load_image(self.pairs[index][0])

    def depth(self, index: int) -> Depth:
        return read_png(self.pairs[index][1], self.units_per_meter)

    def depth_array(self, index: int) -> Depth:
        return read_diode(self.pairs[index][1])


def _lists(root: Path, split: str, units_per_meter: float) -> DepthData | None:
    source = root / f"{split}.txt"
    if not source.is_file():
        return None
    pairs, left_out = read_pairs(source, root)
    if left_out:
        tell(f"{left_out} pictures of {source} have no depth and are left out.")
    require_same_sizes(pairs, "depth map", source, png_size)
    files = _Files(tuple(pairs), units_per_meter)
    return DepthData(root.resolve().name, split, _names(files, root), files.picture, files.depth)


def _diode(root: Path, split: str) -> DepthData | None:
    source = root / split
    pictures = pictures_in(source)
    if not pictures:
        return None
    pairs = [(path, path.with_name(f"{path.stem}_depth.npy")) for path in pictures]
    masks = [depth.with_name(f"{depth.stem}_mask.npy") for _, depth in pairs]
    all_there((*masks, *(depth for _, depth in pairs)), source)
    require_same_sizes(pairs, "depth map", source, npy_size)
    files = _Files(tuple(pairs), 1.0)
    return DepthData(root.resolve().name, split, _names(files, root), files.picture, files.depth_array)


def _names(files: _Files, root: Path) -> tuple[str, ...]:
    pictures = (picture for picture, _ in files.pairs)
    return tuple(str(path.relative_to(root) if path.is_relative_to(root) else path) for path in pictures)


def _nyu(root: Path, split: str) -> DepthData | None:
    reader = read_nyu(root, split)
    if reader is None:
        return None
    names = tuple(f"{number + 1:04d}" for number in reader.numbers)
    return DepthData("nyu-v2", split, names, reader.picture, reader.depth)
