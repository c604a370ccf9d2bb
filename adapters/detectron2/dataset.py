"""Registration of detection data of any supported layout in Detectron2's catalog."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from sslhsic_transfer.adapters.detectron2.addresses import address_of
from sslhsic_transfer.data.labelled.detection import DetectionData, find_detection
from sslhsic_transfer.data.labelled.sizes import side_by_side


def register(data: DetectionData) -> str:
    """Register a data set with Detectron2.

    Args:
        data: the data set. Boxes become XYXY_ABS. Ignored objects become ``iscrowd``: training leaves them out, and
            COCO's metric neither requires them nor counts them as mistakes.

    Returns:
        Its name for DATASETS.TRAIN and DATASETS.TEST, which ends in a hash of the annotations. The same data are
        therefore registered once, in whatever folder, and other data of the same name separately. ``file_name`` of an
        entry is the picture's path. For pictures that Detectron2 would clip or rotate twice, it is an address that
        makes its reader read them as `load_image` does.
    """
    name = f"{data.name}_{data.split}_{_digest(data)}"
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)  # the same data, perhaps in another folder
        MetadataCatalog.pop(name, None)  # evaluators store paths of files there that may be gone
    DatasetCatalog.register(name, _Entries(data))
    MetadataCatalog.get(name).set(thing_classes=list(data.classes))
    return name


def register_folder(root: str | Path, split: str, layout: str = "auto") -> str:
    """Find a split as `find_detection` does, and register it.

    Raises:
        DataError: there is no such split.
    """
    return register(find_detection(root, split, layout))


class _Entries:
    """Function that the catalog calls for the entries; it reads the pictures' headers only once.

    Args:
        data: a data set.
    """

    def __init__(self, data: DetectionData) -> None:
        self.data = data

    @cached_property
    def addresses(self) -> list[str]:
        return side_by_side(address_of, [picture.path for picture in self.data.pictures], "kinds of pictures")

    def __call__(self) -> list[dict[str, Any]]:
        return as_dicts(self.data, self.addresses)


def as_dicts(data: DetectionData, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """Make one dictionary for each picture, in Detectron2's format.

    Args:
        data: a data set.
        addresses: Detectron2's name of each picture's file.
    """
    return [
        {
            "file_name": address,
            "image_id": picture.id,
            "width": picture.size[0],
            "height": picture.size[1],
            "annotations": [
                {
                    "bbox": [float(value) for value in box],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": int(label),
                    "iscrowd": int(ignored),
                }
                for box, label, ignored in zip(picture.boxes, picture.labels, picture.ignored, strict=True)
            ],
        }
        for picture, address in zip(data.pictures, addresses, strict=True)
    ]


def _digest(data: DetectionData) -> str:
    digest = hashlib.sha256(repr(data.classes).encode())
    for picture in data.pictures:
        digest.update(f"{picture.id} {picture.path.name} {picture.size}".encode())
        for array in (picture.boxes, picture.labels, picture.ignored):
            digest.update(array.tobytes())
    return digest.hexdigest()[:8]
