"""Segmentation data: pairs of a picture and a map of class numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.data.labelled.files import all_there, is_there
from sslhsic_transfer.data.labelled.layouts import (
    CLASSES_NAME,
    pictures_in,
    read_classes,
    recognize,
    shorten_list,
    tell,
)
from sslhsic_transfer.data.labelled.lists import read_pairs
from sslhsic_transfer.data.labelled.masks import SURVEYED, read_values, survey
from sslhsic_transfer.data.labelled.sizes import require_same_sizes
from sslhsic_transfer.data.labelled.voc_files import PictureFolder, read_names
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.text_files import read_lines

_VOID = ("void", "ignore", "ignored", "unlabeled", "unlabelled")
IGNORED = 255  # value of pixels that are ignored

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CITYSCAPES_CLASSES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
CAMVID_CLASSES = (  # as SegNet numbers them; 11 is void
    *("sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist"),
)
_CAMVID_FRAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+")  # names of the data set's frames
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of the 19, in order

EXPECTED_LAYOUTS = """\
  lists       SPLIT.txt with "picture mask" a line, classes.txt (CamVid as SegNet has it needs none)
  voc         ImageSets/Segmentation/SPLIT.txt, JPEGImages/, SegmentationClassAug/ or SegmentationClass/
  ade20k      images/SPLIT/, annotations/SPLIT/ (0: ignored), objectInfo150.txt; SPLIT is training or validation
  cityscapes  leftImg8bit/SPLIT/CITY/, gtFine/SPLIT/CITY/
  folders     images/SPLIT/ and masks/SPLIT/ with files of the same names, classes.txt
Masks are PNG files of class numbers from 0 on, as large as their pictures; 255 and the number after the last class are
ignored, but for mask_values, which tells other numbers; a last line "void" of classes.txt is no class."""


@dataclass(frozen=True)
class SegmentationData:
    """One split of a data set.

    Attributes:
        name: name of the data set.
        split: name of the split.
        pairs: picture and mask of each example.
        classes: names of the classes; a mask's numbers count them from 0.
        values: class of each value in the files, if these do not hold class numbers; other values are ignored.
    """

    name: str
    split: str
    pairs: tuple[tuple[Path, Path], ...]
    classes: tuple[str, ...]
    values: Mapping[int, int] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def read_mask(self, index: int) -> NDArray[np.uint8]:
        """Read the class of each pixel: (H, W), below ``len(classes)`` or `IGNORED`.

        Raises:
            DataError: the mask is not a readable picture with one channel, or has numbers that are not classes.
        """
        path = self.pairs[index][1]
        values = read_values(path)
        if self.values is None:
            odd = values[(values > len(self.classes)) & (values != IGNORED)]
            self._refuse_odd({int(value): path for value in odd[:1]})
        table = self._table()
        if values.dtype != np.uint8:
            values = np.minimum(values.astype(np.int64), len(table) - 1)
        return table[values]

    def require_labels(self) -> list[int]:
        """Check that masks are suitable for training and evaluation, and log the classes that never occur.

        At most 2000 masks are decoded, or all if those would be refused.

        Returns:
            The numbers of the masks that are ignored.

        Raises:
            DataError: every pixel is ignored, or all but those of one class; or numbers are not classes, or a mask
                cannot be read.
        """
        for most in (SURVEYED, len(self)):
            held = survey([mask for _, mask in self.pairs], most)
            first = {value: path for path, values in reversed(held.items()) for value in values}
            if self.values is None:
                self._refuse_odd({v: path for v, path in first.items() if v > len(self.classes) and v != IGNORED})
            table = self._table()
            classes = {value: int(table[min(value, len(table) - 1)]) for value in sorted(first)}
            ignored = [value for value, number in classes.items() if number == IGNORED]
            absent = [name for number, name in enumerate(self.classes) if number not in classes.values()]
            seen = len(self.classes) - len(absent)
            numbered = self.values is None and self.classes != VOC_CLASSES  # by the user, who may mean 255 as a class
            refused = seen == 0 or (seen == 1 and bool(ignored) and numbered)
            if not refused:
                break
        part = f"{len(held)} of the {len(self)}" if most < len(self) else f"{len(held)}"
        left = f", where {shorten_list(ignored)} means ignored" if ignored else ""
        said = f"{part} masks of {self.split} of {self.name} hold {shorten_list(list(classes))}{left}"
        if refused:
            never = f"No pixel has the class {shorten_list(absent)}" if seen else "Every pixel is ignored"
            hint = f", such as mask_values=[{','.join(map(str, classes))}]" if len(classes) == len(self.classes) else ""
            raise DataError(
                f"{never}: {said}. Write class numbers from 0 on into the masks, or tell by mask_values which "
                f"number each class of {shorten_list(self.classes)} has there{hint}."
            )
        if absent:
            tell(f"No pixel has the class {shorten_list(absent)}: {said}.")
        elif self.values is None and len(self.classes) == 2:
            mixed = [path for path, values in held.items() if values == [0, IGNORED]]
            if mixed:
                tell(
                    f"{len(mixed)} of {part} masks of {self.split} of {self.name} hold 0 and {IGNORED} and never 1, "
                    f"such as {mixed[0]}: where {IGNORED} is a class there, write 1."
                )
        return ignored

    def _refuse_odd(self, odd: Mapping[int, Path]) -> None:
        for value, path in sorted(odd.items()):
            raise DataError(
                f"{path} holds the class number {value}; expected 0 to {len(self.classes) - 1}, or "
                f"{len(self.classes)} or {IGNORED} for what is ignored. Name all classes in the order of their "
                "numbers, or tell the numbers by mask_values."
            )

    def _table(self) -> NDArray[np.uint8]:
        """Make the table of the class of each value; the last entry is for all larger values."""
        values = self.values if self.values is not None else {number: number for number in range(len(self.classes))}
        table = np.full(max(255, *values) + 2, IGNORED, dtype=np.uint8)
        table[list(values)] = list(values.values())
        return table


def find_segmentation(
    root: str | Path, split: str, layout: str = "auto", *, mask_values: Sequence[int] | None = None
) -> SegmentationData:
    """Find a split of a segmentation data set, and recognize its layout.

    Args:
        root: folder of the data set.
        split: the layout's name of the split, such as ``"train"`` or ``"val"``.
        layout: "lists", "voc", "ade20k", "cityscapes" or "folders"; "auto": the first that fits.
        mask_values: number of each class in the masks, in the order of the classes, such as ``(0, 255)`` for black and
            white masks; all other numbers are ignored. None: the layout's numbers.

    Raises:
        DataError: there is no such split in a known layout, files or classes.txt are missing, or masks differ in size
            from their pictures.
        ConfigError: ``mask_values`` does not have one number for each class.
    """
    readers = {"lists": _lists, "voc": _voc, "ade20k": _ade20k, "cityscapes": _cityscapes, "folders": _folders}
    found = recognize(root, split, layout, readers, EXPECTED_LAYOUTS)
    classes = found.classes
    if not 2 <= len(classes) <= IGNORED:
        raise DataError(
            f"{found.name} has {len(classes)} class(es): {shorten_list(classes)}; expected 2 to {IGNORED}, what is "
            "background among them."
        )
    if mask_values is not None:
        if len(mask_values) != len(classes) or len(set(mask_values)) < len(classes) or min(mask_values) < 0:
            raise ConfigError(
                f"mask_values is {list(mask_values)}; expected a different number from 0 on for each of the "
                f"{len(classes)} classes {shorten_list(classes)}."
            )
        found = replace(found, values={value: number for number, value in enumerate(mask_values)})
    require_same_sizes(found.pairs, "mask", Path(root))
    ignored = found.require_labels()
    names = read_classes(Path(root).expanduser())
    if mask_values is not None or (names and found.values is None):
        void = {len(classes)} if mask_values is None and names[-1].lower() in _VOID else set()
        if unnamed := [value for value in ignored if value not in {IGNORED, *void}]:
            tell(f"Masks of {split} of {found.name} hold {shorten_list(unnamed)}, which is no class and is ignored.")
    return found


def _lists(root: Path, split: str) -> SegmentationData | None:
    source = root / f"{split}.txt"
    if not source.is_file():
        return None
    pairs, left_out = read_pairs(source, root)
    if left_out:
        tell(f"{left_out} pictures of {source} have no mask and are left out.")
    classes = CAMVID_CLASSES if _is_camvid(root, pairs) else _named_classes(root)
    return _data(root, split, pairs, classes, source)


def _is_camvid(root: Path, pairs: Sequence[tuple[Path, Path]]) -> bool:
    """Check by names of files and folders if a folder without classes.txt holds CamVid with SegNet's numbers."""
    return not (root / CLASSES_NAME).is_file() and all(
        _CAMVID_FRAME.fullmatch(picture.stem) and mask.parent.name.endswith("annot") for picture, mask in pairs
    )


def _voc(root: Path, split: str) -> SegmentationData | None:
    root = next((place for place in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012") if _is_voc(place)), root)
    source = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not source.is_file():
        return None
    masks = root / "SegmentationClassAug" if split == "train_aug" else root / "SegmentationClass"
    names = read_names(source, lambda name: is_there(masks / f"{name}.png"))
    folder = PictureFolder(root / "JPEGImages")
    pairs = [(folder.find(name), masks / f"{name}.png") for name in names]
    return _data(root, split, pairs, read_classes(root) or VOC_CLASSES, source)


def _is_voc(root: Path) -> bool:
    return (root / "ImageSets" / "Segmentation").is_dir()


def _ade20k(root: Path, split: str) -> SegmentationData | None:
    source, names = root / "images" / split, root / "objectInfo150.txt"
    if not source.is_dir() or not names.is_file():
        return None
    full = [text.split("\t")[-1].strip() for _, text in read_lines(names)[1:]]
    short = [name.split(",")[0].strip() for name in full]
    classes = tuple(name if short.count(name) == 1 else whole for name, whole in zip(short, full, strict=True))
    pairs = [(path, root / "annotations" / split / f"{path.stem}.png") for path in pictures_in(source)]
    return _data(root, split, pairs, classes, source, {number + 1: number for number in range(len(classes))})


def _cityscapes(root: Path, split: str) -> SegmentationData | None:
    source = root / "leftImg8bit" / split
    if not source.is_dir():
        return None
    pairs = []
    for path in pictures_in(source):
        stem = path.stem.removesuffix("_leftImg8bit")
        pairs.append((path, root / "gtFine" / split / path.parent.name / f"{stem}_gtFine_labelIds.png"))
    values = {value: number for number, value in enumerate(_CITYSCAPES_IDS)}
    return _data(root, split, pairs, CITYSCAPES_CLASSES, source, values)


def _folders(root: Path, split: str) -> SegmentationData | None:
    source = root / "images" / split
    masks = next((f for name in ("masks", "labels", "annotations") if (f := root / name / split).is_dir()), None)
    if not source.is_dir() or masks is None:
        return None
    pairs = [(path, masks / path.relative_to(source).with_suffix(".png")) for path in pictures_in(source)]
    return _data(root, split, pairs, _named_classes(root), source)


def _named_classes(root: Path) -> tuple[str, ...]:
    if classes := read_classes(root):
        return classes[:-1] if classes[-1].lower() in _VOID else classes
    has = "an empty" if (root / CLASSES_NAME).is_file() else "no"
    raise DataError(
        f"{root} has {has} {CLASSES_NAME}: write one with a class name a line, in the order of the masks' numbers."
    )


def _data(
    root: Path,
    split: str,
    pairs: list[tuple[Path, Path]],
    classes: tuple[str, ...],
    source: Path,
    values: Mapping[int, int] | None = None,
) -> SegmentationData:
    all_there((path for pair in pairs for path in pair), source)
    return SegmentationData(root.resolve().name, split, tuple(pairs), classes, values)
