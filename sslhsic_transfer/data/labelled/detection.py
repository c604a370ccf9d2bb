"""Detection data: pictures with boxes of objects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sslhsic_transfer.data.labelled.annotations import AnnotatedPicture
from sslhsic_transfer.data.labelled.boxes import BoxedPicture, Boxes, boxed_pictures
from sslhsic_transfer.data.labelled.coco import read_coco
from sslhsic_transfer.data.labelled.layouts import recognize
from sslhsic_transfer.data.labelled.voc import read_voc
from sslhsic_transfer.errors import DataError

__all__ = ["BoxedPicture", "Boxes", "DetectionData", "find_detection"]

EXPECTED_LAYOUTS = """\
  coco  annotations/instances_SPLIT.json or coco/instances_SPLIT.json; pictures in SPLIT/, images/SPLIT/, images/,
        JPEGImages/ or VOC2007/JPEGImages/
  voc   ImageSets/Main/SPLIT.txt, JPEGImages/, Annotations/, here or in VOC2007/ or VOCdevkit/VOC2007/; classes.txt, if
        there is one, fixes the order of the classes
Pictures have the size that annotations tell, upright, where these tell one."""


@dataclass(frozen=True)
class DetectionData:
    """One split of a data set.

    Attributes:
        name: name of the data set.
        split: name of the split.
        pictures: the pictures, with or without objects.
        classes: names of the classes; labels count them from 0, and the background is not one of them.
    """

    name: str
    split: str
    pictures: tuple[BoxedPicture, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def require_objects(self) -> None:
        """Check that the split has objects for training and evaluation.

        Raises:
            DataError: it has no objects, or all of them are ignored.
        """
        if all(picture.ignored.all() for picture in self.pictures):
            raise DataError(
                f"{self.split} of {self.name} has {len(self)} pictures and no object in them that counts; expected one "
                "or more."
            )

    def as_coco(self) -> dict[str, Any]:
        """Convert to a COCO dictionary, with categories counted from 1, for pycocotools."""
        boxes = [
            (picture, box, label, ignored)
            for picture in self.pictures
            for box, label, ignored in zip(picture.boxes, picture.labels, picture.ignored, strict=True)
        ]
        return {
            "info": {},
            "images": [
                {"id": picture.id, "file_name": str(picture.path), "width": picture.size[0], "height": picture.size[1]}
                for picture in self.pictures
            ],
            "annotations": [
                {
                    "id": number,
                    "image_id": picture.id,
                    "category_id": int(label) + 1,
                    "bbox": [float(value) for value in (*box[:2], *(box[2:] - box[:2]))],
                    "area": float(np.prod(box[2:] - box[:2])),
                    "iscrowd": int(ignored),
                }
                for number, (picture, box, label, ignored) in enumerate(boxes, start=1)
            ],
            "categories": [{"id": number, "name": name} for number, name in enumerate(self.classes, start=1)],
        }


def find_detection(root: str | Path, split: str, layout: str = "auto") -> DetectionData:
    """Find a split of a detection data set, and recognize its layout.

    Args:
        root: folder of the data set.
        split: the layout's name of the split, such as ``"train"`` or ``"val"``.
        layout: "coco" or "voc"; "auto": the first that fits.

    Raises:
        DataError: there is no such split in a known layout, files are missing, annotations are invalid, or pictures
            differ in size from their annotations.
    """
    return recognize(
        root, split, layout, {"coco": partial(_data, read_coco), "voc": partial(_data, read_voc)}, EXPECTED_LAYOUTS
    )


def _data(
    read: Callable[[Path, str], tuple[list[AnnotatedPicture], tuple[str, ...], Path] | None], root: Path, split: str
) -> DetectionData | None:
    found = read(root, split)
    if found is None:
        return None
    pictures, classes, source = found
    return DetectionData(root.resolve().name, split, boxed_pictures(pictures, source), classes)
