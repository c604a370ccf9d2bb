"""Detection data in Pascal VOC's format, one XML file for each picture."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from sslhsic_transfer._content import what_file_is_instead
from sslhsic_transfer.data.labelled.annotations import (
    AnnotatedPicture,
    LabelledBox,
    as_flag,
    as_side,
    in_order,
    read_number,
)
from sslhsic_transfer.data.labelled.files import all_there, is_there
from sslhsic_transfer.data.labelled.layouts import class_name, read_classes
from sslhsic_transfer.data.labelled.voc_files import PictureFolder, read_names
from sslhsic_transfer.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(root: Path, split: str) -> tuple[list[AnnotatedPicture], tuple[str, ...], Path] | None:
    """Read a split's pictures, names of classes and list; return None if there is no such list.

    Raises:
        DataError: files are missing, or annotations are not in VOC's format.
    """
    place = next((p for p in (root, root / "VOC2007", root / "VOCdevkit" / "VOC2007") if _is_voc(p)), root)
    source = place / "ImageSets" / "Main" / f"{split}.txt"
    if not source.is_file():
        return None
    names = read_names(source, lambda name: is_there(_annotation(place, name)))
    files = [_annotation(place, name) for name in names]
    all_there(files, source)
    trees = {path: _parse(path) for path in files}
    classes = read_classes(root) or read_classes(place) or _all_classes(place, trees)
    folder = PictureFolder(place / "JPEGImages")
    pictures = [
        AnnotatedPicture(
            number,
            folder.find(name, trees[path].findtext("filename")),
            (_side(trees[path], "width", path), _side(trees[path], "height", path)),
            tuple(_objects(trees[path], classes, path)),
            path,
        )
        for number, (name, path) in enumerate(zip(names, files, strict=True))
    ]
    all_there((picture.path for picture in pictures), source)
    return pictures, classes, source


def _is_voc(root: Path) -> bool:
    return (root / "ImageSets" / "Main").is_dir() and (root / "Annotations").is_dir()


def _annotation(place: Path, name: str) -> Path:
    return place / "Annotations" / f"{name}.xml"


def _parse(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as error:
        raise DataError(f"{path} is not XML: {_other_content(path) or error}") from error
    if root.tag != "annotation":
        raise DataError(f"{path} is not VOC's: it holds <{root.tag}>; expected <annotation>.")
    return root


def _other_content(path: Path) -> str | None:
    """Describe the content of a file that is not XML; web pages, which look like XML, are left to the parser."""
    found = what_file_is_instead(path)
    return None if found and "web page" in found else found


def _all_classes(place: Path, parsed: dict[Path, ElementTree.Element]) -> tuple[str, ...]:
    """Collect the classes named in any annotation of the data set, so that splits agree."""
    files = sorted(path for path in (place / "Annotations").glob("*.xml") if not path.name.startswith("."))
    trees = (parsed[path] if path in parsed else _parse(path) for path in files)
    names = (class_name(entry.findtext("name") or "") for tree in trees for entry in tree.iter("object"))
    return tuple(sorted({name for name in names if name}))


def _side(tree: ElementTree.Element, side: str, path: Path) -> int | None:
    return as_side(tree.findtext(f"size/{side}"), f"{path}: the {side}")


def _objects(tree: ElementTree.Element, classes: tuple[str, ...], path: Path) -> Iterable[LabelledBox]:
    for number, entry in enumerate(tree.iter("object"), start=1):
        what = f"object {number}"
        name = class_name(entry.findtext("name") or "")
        if name not in classes:
            raise DataError(f"{path}: {what} is {name!r}. Expected VOC's objects, of the classes {', '.join(classes)}.")
        if entry.find("bndbox") is None:
            has = ", ".join(part.tag for part in entry) or "nothing"
            raise DataError(f"{path}: {what} has no bndbox; it has {has}. Expected the corners of a box.")
        values = (read_number(entry.findtext(f"bndbox/{corner}"), f"{path}: {corner} of {what}") for corner in _CORNERS)
        x1, y1, x2, y2 = in_order(*values)
        ignored = as_flag(entry.findtext("difficult"), f"{path}: difficult of {what}")
        # VOC counts pixels from 1, both corners included.
        yield LabelledBox((x1 - 1, y1 - 1, x2, y2), classes.index(name), ignored, what)
