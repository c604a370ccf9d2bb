"""Torchvision's data sets, by the names of their classes."""

import inspect
import os
from ast import literal_eval
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from sslhsic_transfer._processes import process_count
from sslhsic_transfer.data.images import open_image, picture_errors
from sslhsic_transfer.data.sources.address import Address, as_flag, suggestion
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.errors import ConfigError, DataError, ImageError, MissingDependencyError

# Parameters by which classes choose a part of their data. Beside `train`, `split` has another meaning.
_PARTS = ("train", "split", "image_set", "version")
# Parameters of the classes that are functions, which an address cannot give.
_FUNCTIONS = frozenset({"transform", "target_transform", "transforms", "loader", "is_valid_file"})


class TorchvisionPictures:
    """A torchvision data set of single pictures.

    Args:
        dataset: the data set, without transforms.
        name: its name for the user.

    Attributes:
        classes: its classes; empty if it does not have exactly one label for each picture.
        labels: index into ``classes`` of each picture.

    Raises:
        DataError: it is empty, or its examples do not begin with a picture.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset = dataset
        self._name = name
        if not len(dataset):
            raise DataError(f"{name} holds no pictures.")
        try:
            self.open(0).close()
        except ImageError as error:  # a merely damaged picture is not an error here
            if isinstance(error.__cause__, TypeError):
                raise DataError(str(error)) from error
        self.classes, self.labels = _classes(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def open(self, index: int) -> Image.Image:
        """Open one picture, which is not yet decoded if the data set's class allows that.

        Raises:
            ImageError: the picture cannot be read.
        """
        with picture_errors(self.name(index)):
            example = self.dataset[index]
            picture = example[0] if isinstance(example, tuple) else example
            if not isinstance(picture, Image.Image):
                raise TypeError(f"an example begins with a {type(picture).__name__}; expected a picture")
            return picture

    def name(self, index: int) -> str:
        """Return the file of a picture if the data set's class lists files, else its number."""
        for files in self._lists():
            if (file := _file_of(files[index])) is not None:
                return file
        return f"{self._name}[{index}]"

    def key(self, index: int) -> str:
        """Return the number of the picture."""
        return str(index)

    @property
    def files(self) -> list[str] | None:
        """The files of all pictures, or None if the data set's class does not list them."""
        for files in self._lists():
            found = [file for entry in files if (file := _file_of(entry)) is not None]
            if len(found) == len(files):
                return found
        return None

    def _lists(self) -> Iterator[list[Any]]:
        for attribute in ("samples", "imgs", "_samples", "_image_files", "_images"):
            files = getattr(self.dataset, attribute, None)
            if isinstance(files, list) and len(files) == len(self.dataset):
                yield files


def _file_of(entry: Any) -> str | None:
    file = entry[0] if isinstance(entry, tuple) else entry
    return str(file) if isinstance(file, str | os.PathLike) else None


def find_in_torchvision(address: Address) -> PretrainingData:
    """Find the data of ``torchvision://CLASS?root=DIR``; further parameters are those of the class.

    By default the training data are the class's default part, usually ``train``; there are no validation data, and
    nothing is downloaded.

    Raises:
        ConfigError: there is no such class, or it lacks a parameter.
        DataError: the data are missing, or are not pictures.
    """
    kind = _class_named(address)
    parameters = _parameters(kind)
    known = parameters.keys() - _FUNCTIONS
    address.require_known(known | {"validation"} | ({"split"} if "train" in known else set()))
    if "root" in known and not address.get("root"):
        raise ConfigError(
            f"{address.text}: root is missing; say where the data lie: torchvision://{kind.__name__}?root=DIR"
        )
    own = address.parameters.keys() - {"validation", "split", "download"}
    values = {name: _value(address, parameters[name], address.parameters[name]) for name in sorted(own)}
    chosen = _part(address, kind, parameters, address.get("split"), ("split", "train"))
    train = _open(address, kind, parameters, values | chosen)
    if address.get("validation") is None:
        return PretrainingData(kind.__name__, train)
    chosen |= _part(address, kind, parameters, address.get("validation"), _PARTS)
    return PretrainingData(kind.__name__, train, _open(address, kind, parameters, values | chosen))


def _class_named(address: Address) -> type:
    from torchvision import datasets

    kinds = {name: kind for name in datasets.__all__ if inspect.isclass(kind := getattr(datasets, name))}
    del kinds["VisionDataset"]
    if address.target not in kinds:
        raise ConfigError(
            f"{address.text}: torchvision.datasets has no class {address.target!r}{suggestion(address.target, kinds)}."
        )
    return kinds[address.target]


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Collect the parameters of a class and, if it passes keyword arguments on, of its bases."""
    found: dict[str, inspect.Parameter] = {}
    for base in inspect.getmro(kind):
        own = inspect.signature(vars(base)["__init__"]).parameters if "__init__" in vars(base) else {}
        found = {name: p for name, p in own.items() if name != "self" and p.kind is not p.VAR_KEYWORD} | found
        if own and not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    return found


def _open(
    address: Address, kind: type, parameters: dict[str, inspect.Parameter], values: dict[str, Any]
) -> TorchvisionPictures:
    values = dict(values)
    missing = [
        name for name, p in parameters.items() if p.default is p.empty and name not in values and name not in _FUNCTIONS
    ]
    if missing:
        raise ConfigError(f"{address.text}: {kind.__name__} needs the parameter {', '.join(missing)}.")
    if "download" in parameters:
        values["download"] = address.flag("download")
    if values.get("download") and process_count() > 1:
        raise ConfigError(f"{address.text}: several processes would download at once. Download with one process first.")
    if "loader" in parameters:
        values["loader"] = open_image
    try:
        dataset = kind(**values)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"torchvision's {kind.__name__} needs the package {error.name!r}. Install it with: pip install {error.name}"
        ) from error
    except (OSError, RuntimeError, ValueError, TypeError, LookupError) as error:
        fix = "" if values.get("download", True) else " To download the data, add download=true to the address."
        raise DataError(f"{address.text} cannot be opened: {error}.{fix}") from error
    return TorchvisionPictures(dataset, kind.__name__)


def _part(
    address: Address, kind: type, parameters: dict[str, inspect.Parameter], part: str | None, order: tuple[str, ...]
) -> dict[str, Any]:
    """Make the argument that chooses a part of the data: the first of ``order`` that the class has."""
    if part is None:
        return {}
    name = next((name for name in order if name in parameters), None)
    if name is None:
        raise ConfigError(
            f"{address.text}: torchvision's {kind.__name__} has no parts to choose from, such as {part!r}."
        )
    if name != "train":
        return {name: part}
    if part not in ("train", "test"):
        raise ConfigError(f"{address.text}: torchvision's {kind.__name__} has the parts train and test, no {part!r}.")
    return {"train": part == "train"}


def _value(address: Address, parameter: inspect.Parameter, value: str) -> Any:
    """Convert a parameter's text to the type of its default."""
    default = parameter.default
    if isinstance(default, bool):
        return as_flag(address, parameter.name, value)
    if default is None or isinstance(default, str) or default is parameter.empty:
        return value
    try:
        return literal_eval(value)
    except (ValueError, SyntaxError) as error:
        raise ConfigError(
            f"{address.text}: {parameter.name}={value}; expected a {type(default).__name__}, such as {default!r}."
        ) from error


def _classes(dataset: Any) -> tuple[tuple[str, ...], Sequence[int]]:
    """Find classes and labels, under any of the names that torchvision has for them."""
    for attribute in ("targets", "labels", "_labels", "y"):
        values: Any = getattr(dataset, attribute, None)
        values = values.tolist() if hasattr(values, "tolist") else values
        if isinstance(values, list) and len(values) == len(dataset) and all(isinstance(v, int) for v in values):
            break
    else:
        samples = getattr(dataset, "_samples", None)
        if not isinstance(samples, list) or not all(
            isinstance(pair, tuple) and isinstance(pair[1], int) for pair in samples
        ):
            return (), ()
        values = [label for _, label in samples]
    if min(values) < 0 or max(values) == min(values):
        return (), ()
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None) or ()
    if len(names) <= max(values):
        names = range(max(values) + 1)
    return tuple(map(_text, names)), values


def _text(name: Any) -> str:
    return ", ".join(name) if isinstance(name, tuple) else str(name)
