"""Detection data of any of our layouts in Detectron2's catalogue."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from sslhsic_transfer.adapters.data.detection import DetectionData, find_detection


def register(data: DetectionData) -> str:
    """Make a data set known to Detectron2.

    Args:
        data: boxes become XYXY_ABS; what is ignored becomes ``iscrowd``, which training leaves out and COCO's metric
            neither demands nor counts as a mistake.

    Returns:
        Its name for DATASETS.TRAIN and DATASETS.TEST, which ends in a hash of the annotations: the same data registers
        once, wherever it lies, and other data of the same name beside it. `Trainer` reads it as everything here does;
        for a trainer of your own, `build_train_loader` and `build_test_loader` do, or ``mapper=PictureMapper(…)`` of
        Detectron2's own functions, whose mapper would clip pictures of 16 bits and floating ones.
    """
    name = f"{data.name}_{data.split}_{_digest(data)}"
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)  # the same data, but perhaps in another place
        MetadataCatalog.pop(name, None)  # evaluators note files there that may be gone
    DatasetCatalog.register(name, partial(as_dicts, data))
    MetadataCatalog.get(name).set(thing_classes=list(data.classes))
    return name


def register_folder(root: str | Path, split: str, layout: str = "auto") -> str:
    """Find a split as `find_detection` does, and register it.

    Raises:
        DataError: there is none.
    """
    return register(find_detection(root, split, layout))


def as_dicts(data: DetectionData) -> list[dict[str, Any]]:
    """One dictionary a picture, as Detectron2 wants them."""
    return [
        {
            "file_name": str(picture.path),
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
        for picture in data.pictures
    ]


def _digest(data: DetectionData) -> str:
    digest = hashlib.sha256(repr(data.classes).encode())
    for picture in data.pictures:
        digest.update(f"{picture.id} {picture.path.name} {picture.size}".encode())
        for array in (picture.boxes, picture.labels, picture.ignored):
            digest.update(array.tobytes())
    return digest.hexdigest()[:8]
