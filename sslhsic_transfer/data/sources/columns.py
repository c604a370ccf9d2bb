"""Choice of the columns of a Hugging Face data set that hold the pictures and their labels."""

from collections.abc import Mapping
from typing import Any

from sslhsic_transfer.data.sources.address import Address
from sslhsic_transfer.data.sources.encoded import import_datasets
from sslhsic_transfer.errors import DataError


def image_column(address: Address, features: Mapping[str, Any]) -> str:
    """Choose the column that the user names, else the only one of pictures, else the one called ``image``.

    Raises:
        DataError: there is no such column, or the choice is not clear.
    """
    return _choose(address, "image", features, import_datasets().Image) or _none(address, features)


def label_column(address: Address, dataset: Any) -> tuple[tuple[str, ...], list[int]]:
    """Read classes and labels from the column that the user names, else the only one of classes, else ``label``.

    A column without names for its classes holds integers or words. An empty name, ``label=``, asks for no labels.

    Returns:
        The classes and the labels of all rows; both are empty if some rows have no label, or all have the same.

    Raises:
        DataError: the column is missing or holds something else, or the choice is not clear.
    """
    if address.get("label") == "":
        return (), []
    column = _choose(address, "label", dataset.features, import_datasets().ClassLabel)
    if column is None:
        return (), []
    values = dataset.with_format(None).select_columns([column])[:][column]
    names = getattr(dataset.features[column], "names", None)
    known = [value for value in values if value is not None]
    if not names and not all(isinstance(value, int | str) for value in known):
        kind = type(known[0]).__name__
        raise DataError(f"{address.text}: the column {column!r} holds a {kind}; expected whole numbers or words.")
    if len(known) < len(values) or -1 in known or len(set(known)) < 2:
        return (), []
    if names:
        return tuple(names), values
    classes = sorted(set(values))
    index = {value: number for number, value in enumerate(classes)}
    return tuple(map(str, classes)), [index[value] for value in values]


def _choose(address: Address, role: str, features: Mapping[str, Any], kind: type) -> str | None:
    named = address.get(role)
    if named:
        if named not in features:
            raise DataError(f"{address.text}: no column {named!r}; there are: {', '.join(features)}.")
        return named
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) > 1 and role not in found:
        none = ", or label= for none" if role == "label" else ""
        raise DataError(f"{address.text}: the columns {', '.join(found)} would do: choose one with {role}=NAME{none}.")
    return role if role in found else found[0] if found else None


def _none(address: Address, features: Mapping[str, Any]) -> str:
    raise DataError(
        f"{address.text}: no column holds pictures by its type; there are: {', '.join(features)}. Choose one that "
        "holds the bytes or paths of picture files with image=NAME."
    )
