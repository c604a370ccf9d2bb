"""Segmentation data: pairs of a picture and a map of class numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.data.layouts import all_there, pictures_in, read_classes, read_list, read_map, recognise
from sslhsic_transfer.errors import DataError

_VOID = ("void", "ignore", "ignored", "unlabeled", "unlabelled")
IGNORED = 255  # the value of pixels that count for nothing

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CITYSCAPES_CLASSES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of the 19, in order

LAYOUTS = """\
  lists       SPLIT.txt with "picture mask" a line, classes.txt (CamVid as SegNet has it)
  voc         ImageSets/Segmentation/SPLIT.txt, JPEGImages/, SegmentationClassAug/ or SegmentationClass/
  ade20k      images/SPLIT/, annotations/SPLIT/ (0: ignored), objectInfo150.txt; SPLIT is training or validation
  cityscapes  leftImg8bit/SPLIT/CITY/, gtFine/SPLIT/CITY/
  folders     images/SPLIT/ and masks/SPLIT/ with files of the same names, classes.txt
Masks are PNG files of class numbers from 0 on; 255 and the number after the last class are ignored;
a last line "void" of classes.txt is no class."""


@dataclass(frozen=True)
class SegmentationData:
    """One split of a data set.

    Attributes:
        name: of the data set.
        split: which part.
        pairs: picture and mask of each example.
        classes: names; a mask's numbers count them from 0.
        values: value in the files -> class, where the files hold something else than classes; others are ignored.
    """

    name: str
    split: str
    pairs: tuple[tuple[Path, Path], ...]
    classes: tuple[str, ...]
    values: Mapping[int, int] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def read_mask(self, index: int) -> NDArray[np.uint8]:
        """Classes of each pixel: (H, W), below ``len(classes)`` or `IGNORED`.

        Raises:
            DataError: not a readable picture with one channel, or numbers that are no class.
        """
        path = self.pairs[index][1]
        mask = read_map(path)[1].astype(np.int64)
        if mask.ndim != 2:
            raise DataError(
                f"{path} has {mask.shape[-1]} channels; expected one, of class numbers: convert colours first."
            )
        return self._classes_of(mask, path)

    def _classes_of(self, mask: NDArray[np.int64], path: Path) -> NDArray[np.uint8]:
        table = np.full(256, IGNORED, dtype=np.uint8)
        if self.values is None:
            table[: len(self.classes)] = np.arange(len(self.classes))
            odd = mask[(mask > len(self.classes)) & (mask != IGNORED)]
            if odd.size:
                raise DataError(
                    f"{path} holds the class number {int(odd[0])}; expected 0 to {len(self.classes) - 1}, or "
                    f"{len(self.classes)} or {IGNORED} for what is ignored."
                )
        else:
            table[list(self.values)] = list(self.values.values())
        return table[np.where(mask < len(table), mask, IGNORED)]


def find_segmentation(root: str | Path, split: str, layout: str = "auto") -> SegmentationData:
    """Find a split of a segmentation data set; its layout is recognised.

    Args:
        root: folder of the data set.
        split: such as ``"train"`` or ``"val"``: what the layout calls it.
        layout: "lists", "voc", "ade20k", "cityscapes" or "folders"; "auto": the first that fits.

    Raises:
        DataError: no such split in a known layout, files that are not there, or no classes.txt.
    """
    readers = {"lists": _lists, "voc": _voc, "ade20k": _ade20k, "cityscapes": _cityscapes, "folders": _folders}
    return recognise(root, split, layout, readers, LAYOUTS)


def _lists(root: Path, split: str) -> SegmentationData | None:
    source = root / f"{split}.txt"
    if not source.is_file():
        return None
    pairs = [(root / picture, root / mask) for picture, mask, *_ in read_list(source, columns=2)]
    return _data(root, split, pairs, _named_classes(root), source)


def _voc(root: Path, split: str) -> SegmentationData | None:
    root = next((place for place in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012") if _is_voc(place)), root)
    source = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not source.is_file():
        return None
    names = [row[0] for row in read_list(source, columns=1)]
    masks = root / "SegmentationClassAug" if split == "train_aug" else root / "SegmentationClass"
    pairs = [(root / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name in names]
    return _data(root, split, pairs, read_classes(root) or VOC_CLASSES, source)


def _is_voc(root: Path) -> bool:
    return (root / "ImageSets" / "Segmentation").is_dir()


def _ade20k(root: Path, split: str) -> SegmentationData | None:
    source, names = root / "images" / split, root / "objectInfo150.txt"
    if not source.is_dir() or not names.is_file():
        return None
    rows = [line.split("\t") for line in names.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    classes = tuple(row[-1].split(",")[0].strip() for row in rows)
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
    raise DataError(
        f"{root} has no classes.txt: write one with a class name a line, in the order of the masks' numbers."
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
