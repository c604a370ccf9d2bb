"""Hugging Face data sets from the Hub, from files by one of the package's builders, or saved to disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources.address import Address
from sslhsic_transfer.data.sources.columns import image_column, label_column
from sslhsic_transfer.data.sources.encoded import import_datasets, name_encoded, open_encoded
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.errors import ConfigError, DataError

_LOADING = frozenset({"name", "data_dir", "data_files", "revision"})
_PARAMETERS = _LOADING | {"split", "validation", "image", "label"}
_STREAMING = frozenset({"length", "buffer"})


class HuggingFacePictures:
    """The pictures of a `datasets.Dataset`.

    Args:
        dataset: the data set, with the single column ``image``, not decoded.
        image: the name of the column.
        classes: names of the classes; empty: no labels.
        labels: index into ``classes`` of each picture.
        name: the data set's name for the user.
    """

    def __init__(self, dataset: Any, image: str, classes: tuple[str, ...], labels: Sequence[int], name: str) -> None:
        self.dataset = dataset
        self.image = image
        self.classes = classes
        self.labels = labels
        self._name = name

    def __len__(self) -> int:
        return len(self.dataset)

    def open(self, index: int) -> Image.Image:
        """Open one picture, not yet decoded.

        Raises:
            ImageError: the picture cannot be read.
        """
        return open_encoded(self.dataset[index][self.image], f"{self._name}[{index}]")

    def name(self, index: int) -> str:
        """Return a picture's name: its row, and its path or the SHA-256 of its content."""
        return f"{self._name}[{index}]: {name_encoded(self.dataset[index][self.image])}"

    def key(self, index: int) -> str:
        """Return the number of the row."""
        return str(index)


def find_in_huggingface(address: Address) -> PretrainingData:
    """Find the data of ``hf://``: on the Hub, by a builder such as ``imagefolder`` or ``parquet``, or saved on disk.

    Raises:
        ConfigError: parameters are unknown or do not go together.
        DataError: the data cannot be loaded, or hold no pictures.
        MissingDependencyError: ``datasets`` is not installed.
    """
    streaming = address.flag("streaming")
    address.require_known(_PARAMETERS | {"streaming"} | (_STREAMING if streaming else frozenset()))
    if not address.target:
        raise ConfigError(f"{address.text}: expected hf://ORG/NAME, hf://BUILDER?data_files=…, or hf:///FOLDER.")
    split = address.get("split") or "train"
    train = _stream(address, split) if streaming else _pictures(address, split)
    part = address.get("validation")
    validation = None if part is None else _pictures(address, part)
    name = address.get("data_dir") or address.get("data_files") or address.target
    return PretrainingData(Path(name).name if Path(name).exists() else name, train, validation)


def _pictures(address: Address, split: str) -> Pictures:
    dataset = _load(address, split, streaming=False)
    if not len(dataset):
        raise DataError(f"{address.text}: the split {split!r} is empty.")
    features = dataset.features
    image = image_column(address, features)
    classes, labels = label_column(address, dataset)
    pictures = dataset.with_format(None).select_columns([image])
    undecoded = _undecoded(address, pictures, image)
    return HuggingFacePictures(undecoded, image, classes, labels, f"{address.target}/{split}")


def _stream(address: Address, split: str) -> Stream:
    dataset = _load(address, split, streaming=True)
    if dataset.features is None:
        raise DataError(f"{address.text}: the data do not say which columns they have, and cannot be streamed.")
    image = image_column(address, dataset.features)
    length = address.count("length")
    if length is None:
        known = (dataset.info.splits or {}).get(split)
        length = known.num_examples if known else None
    if not length:
        raise ConfigError(
            f"{address.text}: the data do not say how many pictures they hold. Add length=PICTURES: so many make an "
            "epoch."
        )
    undecoded = _undecoded(address, dataset.select_columns([image]), image)
    return Stream(undecoded, image, length, address.count("buffer") or 1000)


def _load(address: Address, split: str, *, streaming: bool) -> Any:
    datasets = import_datasets()
    folder = Path(address.target)
    saved = (folder / "dataset_dict.json").is_file(), (folder / "state.json").is_file()
    options = {name: address.parameters[name] for name in sorted(_LOADING & address.parameters.keys())}
    if any(saved) and (streaming or options):
        refused = ", ".join([*options, *(["streaming"] if streaming else [])])
        raise ConfigError(f"{address.text}: a saved data set is read where it lies; leave out: {refused}.")
    try:
        if not any(saved):
            return datasets.load_dataset(address.target, split=split, streaming=streaming, **options)
        dataset = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{address.text}: the split {split!r} cannot be loaded: {error}") from error
    if saved[0] and split not in dataset:
        raise DataError(f"{address.text}: no split {split!r}; there are: {', '.join(dataset)}.")
    if not saved[0] and split not in ("train", str(dataset.split)):
        raise DataError(f"{address.text}: no split {split!r}; the data set was saved as a single one: leave it out.")
    return dataset[split] if saved[0] else dataset


def _undecoded(address: Address, dataset: Any, image: str) -> Any:
    try:
        return dataset.cast_column(image, import_datasets().Image(decode=False))
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{address.text}: the column {image!r} cannot be read as pictures ({error}); expected pictures, the bytes "
            "of picture files, or their paths."
        ) from error
