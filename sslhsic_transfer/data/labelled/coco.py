"""Detection data in COCO's format, one JSON file for each split."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer._config import shorten
from sslhsic_transfer.data.labelled.annotations import (
    AnnotatedPicture,
    LabelledBox,
    as_flag,
    as_number,
    as_side,
    in_order,
)
from sslhsic_transfer.data.labelled.files import all_there, find_files, is_there
from sslhsic_transfer.data.labelled.layouts import class_name
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.text_files import read_text

_PARTS = ("images", "annotations", "categories")

Entry = Mapping[str, Any]
Identity = int | str


def read_coco(root: Path, split: str) -> tuple[list[AnnotatedPicture], tuple[str, ...], Path] | None:
    """Read a split's pictures, names of classes and annotation file; return None if there is no such file.

    Raises:
        DataError: the file is not in COCO's format, its ids clash or refer to nothing, or its pictures are missing.
    """
    places = (root / folder / f"instances_{split}.json" for folder in ("annotations", "coco"))
    source = next((path for path in places if path.is_file()), None)
    if source is None:
        return None
    images, annotations, categories = _parts(source)
    classes = _classes(categories, source)
    pictures = _by_id(images, "picture", source)
    objects: dict[Identity, list[LabelledBox]] = {identity: [] for identity in pictures}
    numbers = {identity: number for number, identity in enumerate(classes)}
    for place, annotation in enumerate(annotations):
        name = f"annotation {annotation['id']}" if type(annotation.get("id")) is int else f"annotation at place {place}"
        try:
            picture = _known(annotation, "image_id", objects, "picture")
            category = _known(annotation, "category_id", numbers, "category")
            objects[picture].append(_box(annotation, numbers[category], name))
        except DataError as error:
            raise DataError(f"{source}, {name}: {error}") from error
    paths = _paths(root, split, pictures, source)
    annotated = [
        AnnotatedPicture(
            identity if isinstance(identity, int) else number,
            path,
            _told(image, f"{source}: the {{}} of picture {identity!r}"),
            tuple(objects[identity]),
            source,
        )
        for number, ((identity, image), path) in enumerate(zip(pictures.items(), paths, strict=True))
    ]
    return annotated, tuple(classes.values()), source


def _parts(source: Path) -> list[list[Entry]]:
    text = read_text(source)
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise DataError(f"{source} is nested too deeply to be a COCO file of objects.") from error
    except ValueError as error:
        raise DataError(f"{source} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{source} holds a JSON {_kind(content)}; expected an object with {', '.join(_PARTS)}, as COCO's files of "
            "instances."
        )
    if missing := [part for part in _PARTS if part not in content]:
        raise DataError(
            f"{source} is not a COCO file of objects: it has no {' and no '.join(missing)} (found: "
            f"{', '.join(map(str, content)) or 'nothing'})."
        )
    for part in _PARTS:
        entries = content[part]
        odd = [entry for entry in entries if not isinstance(entry, dict)] if isinstance(entries, list) else [entries]
        if odd:
            raise DataError(f"{source}: {part} holds {shorten(odd[0])}; expected a list of JSON objects.")
    return [content[part] for part in _PARTS]


def _kind(value: Any) -> str:
    return {list: "list", str: "text", type(None): "null", bool: "boolean"}.get(type(value), "number")


def _identity(value: Any) -> Identity | None:
    """Return an id, which is an integer or text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _by_id(entries: Sequence[Entry], kind: str, source: Path) -> dict[Identity, Entry]:
    """Index entries by their ids, in order.

    Raises:
        DataError: an id is missing, duplicate, or of another type than the others.
    """
    found: dict[Identity, Entry] = {}
    for place, entry in enumerate(entries):
        identity = _identity(entry.get("id"))
        if identity is None:
            raise DataError(
                f"{source}: the {kind} at place {place} has the id {shorten(entry.get('id'))}; expected a whole number."
            )
        if identity in found:
            raise DataError(
                f"{source}: two {_plural(kind)} have the id {identity!r}: {shorten(found[identity])} and "
                f"{shorten(entry)}. Where files were merged, number their ids anew."
            )
        found[identity] = entry
    if len({type(identity) for identity in found}) > 1:
        texts = [identity for identity in found if isinstance(identity, str)]
        raise DataError(
            f"{source}: the id {texts[0]!r} of a {kind} is text, others are numbers; expected one of the two."
        )
    return found


def _plural(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _classes(categories: Sequence[Entry], source: Path) -> dict[Identity, str]:
    """Read the names of the classes by their ids, in the order of the ids."""
    by_id = _by_id(categories, "category", source)
    names: dict[Identity, str] = {}
    owner: dict[str, Identity] = {}
    for identity in sorted(by_id, key=lambda value: (str(value) if isinstance(value, str) else "", value)):
        name = by_id[identity].get("name")
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{source}: category {identity!r} has the name {shorten(name)}; expected text.")
        name = class_name(name)
        if name in owner:
            raise DataError(
                f"{source}: the categories {owner[name]!r} and {identity!r} are both called {name!r}; expected a name "
                "for each. Delete one that no annotation has, or give its annotations the id of the other."
            )
        owner[name] = identity
        names[identity] = name
    return names


def _known(annotation: Entry, key: str, known: Mapping[Identity, Any], kind: str) -> Identity:
    """Return the id that an annotation refers to.

    Raises:
        DataError: there is no such id.
    """
    value = annotation.get(key)
    identity = _identity(value)
    if identity is not None and identity in known:
        return identity
    other: Any = None
    if isinstance(identity, str) and identity.strip().lstrip("-").isdecimal():
        other = int(identity)
    elif isinstance(identity, int):
        other = str(identity)
    if other in known:
        raise DataError(
            f"its {key} is {value!r}, the {kind} has the id {other!r}: one is text, the other a number. Write both "
            "alike."
        )
    raise DataError(f"its {key} is {shorten(value)}; there is no {kind} with this id.")


def _box(annotation: Entry, label: int, name: str) -> LabelledBox:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"its bbox is {shorten(box)}; expected [x, y, width, height].")
    x, y, width, height = (as_number(value, "a value of its bbox") for value in box)
    ignored = as_flag(annotation.get("iscrowd"), "its iscrowd")
    return LabelledBox(in_order(x, y, x + width, y + height), label, ignored, name)


def _told(image: Entry, what: str) -> tuple[int | None, int | None]:
    return as_side(image.get("width"), what.format("width")), as_side(image.get("height"), what.format("height"))


def _paths(root: Path, split: str, pictures: Mapping[Identity, Entry], source: Path) -> list[Path]:
    """Find the files of the pictures, in the first of the usual folders that has some of them."""
    names: list[str] = []
    for identity, image in pictures.items():
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise DataError(
                f"{source}: picture {identity!r} has the file_name {shorten(name)}; expected a file's name."
            )
        names.append(name)
    folders = (split, f"images/{split}", "images", "JPEGImages", "VOC2007/JPEGImages", f"{split}2017", ".")
    paths = find_files(names, [root / folder for folder in folders])
    if paths and not any(map(is_there, paths)):
        raise DataError(
            f"The pictures of {source}, such as {names[0]}, are in none of its folders {', '.join(folders)}, from "
            f"{root} on."
        )
    all_there(paths, source)
    owner: dict[Path, Identity] = {}
    for identity, path in zip(pictures, paths, strict=True):
        if path in owner:
            raise DataError(
                f"{source}: the pictures {owner[path]!r} and {identity!r} are both {path}, each with a part of its "
                "boxes; expected one entry a file."
            )
        owner[path] = identity
    return paths
