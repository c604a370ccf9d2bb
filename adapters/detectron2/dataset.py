"""Detection data of any of our layouts in Detectron2's catalogue."""

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
    """Make a data set known to Detectron2.

    Args:
        data: boxes become XYXY_ABS; what is ignored becomes ``iscrowd``, which training leaves out and COCO's metric
            neither demands nor counts as a mistake.

    Returns:
        Its name for DATASETS.TRAIN and DATASETS.TEST, which ends in a hash of the annotations: the same data registers
        once, wherever it lies, and other data of the same name beside it. ``file_name`` of an entry is the picture's
        path; of pictures that Detectron2 itself would clip or turn twice, an address by which its own reader finds them
        as `load_image` reads them.
    """
    name = f"{data.name}_{data.split}_{_digest(data)}"
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)  # the same data, but perhaps in another place
        MetadataCatalog.pop(name, None)  # evaluators note files there that may be gone
    DatasetCatalog.register(name, _Entries(data))
    MetadataCatalog.get(name).set(thing_classes=list(data.classes))
    return name


def register_folder(root: str | Path, split: str, layout: str = "auto") -> str:
    """Find a split as `find_detection` does, and register it.

    Raises:
        DataError: there is none.
    """
    return register(find_detection(root, split, layout))


class _Entries:
    """What the catalogue calls; pictures' headers are read once.

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
    """One dictionary a picture, as Detectron2 wants them.

    Args:
        data: a data set.
        addresses: what Detectron2 is to know the file of each picture by.
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
