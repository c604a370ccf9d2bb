"""Detection data: pictures and the boxes in them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.data.layouts import all_there, read_classes, read_list, recognise
from sslhsic_transfer.errors import DataError

LAYOUTS = """\
  coco  annotations/instances_SPLIT.json or coco/instances_SPLIT.json; pictures in SPLIT/, images/SPLIT/, images/,
        JPEGImages/ or VOC2007/JPEGImages/
  voc   ImageSets/Main/SPLIT.txt, JPEGImages/, Annotations/, here or in VOC2007/ or VOCdevkit/VOC2007/; classes.txt, if
        there is one, fixes the order of the classes"""


@dataclass(frozen=True)
class BoxedPicture:
    """A picture and its objects.

    Attributes:
        id: number within the data set, as the annotations have it.
        path: the file.
        size: width and height in pixels.
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in pixels, from the picture's top left corner.
        labels: (N,) int64 classes, from 0 on.
        ignored: (N,) bool: crowds and what VOC calls difficult, which a detector may find or not.
    """

    id: int
    path: Path
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @property
    def truth(self) -> "Boxes":
        """What a perfect detector would find, in full confidence."""
        return Boxes(self.boxes, np.ones(len(self.boxes), dtype=np.float32), self.labels)


@dataclass(frozen=True)
class Boxes:
    """What a detector finds in a picture.

    Attributes:
        boxes: (N, 4) float32 corners x1, y1, x2, y2 in the picture's own pixels.
        scores: (N,) float32 from 0 to 1.
        labels: (N,) int64 classes, from 0 on.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class DetectionData:
    """One split of a data set.

    Attributes:
        name: of the data set.
        split: which part.
        pictures: with or without objects.
        classes: names; labels count them from 0, and the background is none of them.
    """

    name: str
    split: str
    pictures: tuple[BoxedPicture, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def require_objects(self) -> None:
        """Refuse a split that nothing can be learned from or measured on.

        Raises:
            DataError: it has no objects, or they are all to be ignored.
        """
        if all(picture.ignored.all() for picture in self.pictures):
            raise DataError(
                f"{self.split} of {self.name} has {len(self)} pictures and no object in them that counts; expected one "
                "or more."
            )

    def as_coco(self) -> dict[str, Any]:
        """The same as a COCO dictionary, categories counted from 1, for pycocotools."""
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
    """Find a split of a detection data set; its layout is recognised.

    Args:
        root: folder of the data set.
        split: such as ``"train"`` or ``"val"``: what the layout calls it.
        layout: "coco" or "voc"; "auto": the first that fits.

    Raises:
        DataError: no such split in a known layout, files that are not there, or annotations that make no sense.
    """
    return recognise(root, split, layout, {"coco": _coco, "voc": _voc}, LAYOUTS)


def _coco(root: Path, split: str) -> DetectionData | None:
    places = (root / folder / f"instances_{split}.json" for folder in ("annotations", "coco"))
    source = next((path for path in places if path.is_file()), None)
    if source is None:
        return None
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        categories = sorted(content["categories"], key=lambda category: category["id"])
        numbers = {category["id"]: number for number, category in enumerate(categories)}
        objects: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            objects[annotation["image_id"]].append(annotation)
        folder = _pictures_folder(root, split, [image["file_name"] for image in content["images"]])
        pictures = [_coco_picture(image, objects[image["id"]], folder, numbers) for image in content["images"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{source} is not a COCO file of objects: {error!r}.") from error
    return _data(root, split, pictures, tuple(category["name"] for category in categories), source)


def _coco_picture(
    image: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], folder: Path, numbers: Mapping[int, int]
) -> BoxedPicture:
    corners = [(x, y, x + w, y + h) for x, y, w, h in (entry["bbox"] for entry in objects)]
    return _picture(
        image["id"],
        folder / image["file_name"],
        (image["width"], image["height"]),
        corners,
        [numbers[entry["category_id"]] for entry in objects],
        [bool(entry.get("iscrowd", 0)) for entry in objects],
    )


def _pictures_folder(root: Path, split: str, names: Sequence[str]) -> Path:
    places = (split, f"images/{split}", "images", "JPEGImages", "VOC2007/JPEGImages", f"{split}2017", ".")
    found = next((root / place for place in places if names and (root / place / names[0]).is_file()), None)
    if found is None:
        raise DataError(f"The pictures of {root} are in none of its folders {', '.join(places)}.")
    return found


def _voc(root: Path, split: str) -> DetectionData | None:
    place = next((p for p in (root, root / "VOC2007", root / "VOCdevkit" / "VOC2007") if _is_voc(p)), root)
    source = place / "ImageSets" / "Main" / f"{split}.txt"
    if not source.is_file():
        return None
    names = [row[0] for row in read_list(source, columns=1)]
    files = {name: place / "Annotations" / f"{name}.xml" for name in names}
    all_there(files.values(), source)
    trees = {name: _parse(path) for name, path in files.items()}
    classes = read_classes(root) or read_classes(place) or _all_classes(place)
    pictures = [
        _voc_picture(number, place / "JPEGImages" / f"{name}.jpg", trees[name], classes, files[name])
        for number, name in enumerate(names)
    ]
    return _data(root, split, pictures, classes, source)


def _is_voc(root: Path) -> bool:
    return (root / "ImageSets" / "Main").is_dir() and (root / "Annotations").is_dir()


def _all_classes(place: Path) -> tuple[str, ...]:
    """Every class that any annotation of the data set names, so that splits agree."""
    trees = (_parse(path) for path in sorted((place / "Annotations").glob("*.xml")))
    return tuple(sorted({name for tree in trees for entry in tree.iter("object") if (name := entry.findtext("name"))}))


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not XML: {error}") from error


def _voc_picture(
    number: int, path: Path, tree: ElementTree.Element, classes: tuple[str, ...], source: Path
) -> BoxedPicture:
    try:
        objects = [
            (
                [float(entry.findtext(f"bndbox/{corner}") or "") for corner in ("xmin", "ymin", "xmax", "ymax")],
                classes.index(entry.findtext("name") or ""),
                entry.findtext("difficult") == "1",
            )
            for entry in tree.iter("object")
        ]
        size = int(tree.findtext("size/width") or ""), int(tree.findtext("size/height") or "")
    except ValueError as error:
        raise DataError(f"{source}: {error}. Expected VOC's objects, of the classes {', '.join(classes)}.") from error
    corners = [(x1 - 1, y1 - 1, x2, y2) for (x1, y1, x2, y2), *_ in objects]  # VOC counts pixels from 1, both included
    return _picture(number, path, size, corners, [entry[1] for entry in objects], [entry[2] for entry in objects])


def _picture(
    number: int,
    path: Path,
    size: tuple[int, int],
    corners: Sequence[Sequence[float]],
    labels: Sequence[int],
    ignored: Sequence[bool],
) -> BoxedPicture:
    """Boxes cut to the picture; those without an area are left out."""
    boxes = np.asarray(corners, dtype=np.float32).reshape(-1, 4)
    boxes = boxes.clip(0, np.asarray([*size, *size], dtype=np.float32))
    real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return BoxedPicture(
        number,
        path,
        size,
        boxes[real],
        np.asarray(labels, dtype=np.int64)[real],
        np.asarray(ignored, dtype=np.bool_)[real],
    )


def _data(
    root: Path, split: str, pictures: Sequence[BoxedPicture], classes: tuple[str, ...], source: Path
) -> DetectionData:
    all_there((picture.path for picture in pictures), source)
    return DetectionData(root.resolve().name, split, tuple(pictures), classes)
