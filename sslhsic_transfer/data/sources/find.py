"""Search for the data that a user's text describes: those of a pretraining run, or all pictures of a source."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sslhsic_transfer.data.images import KeyedPictures
from sslhsic_transfer.data.sources.address import Address, suggestion
from sslhsic_transfer.data.sources.folders import find_in_folder, open_folder
from sslhsic_transfer.data.sources.huggingface import find_in_huggingface
from sslhsic_transfer.data.sources.lists import find_in_list, find_in_standard_input
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.data.sources.shards import ShardedPictures, expand
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.data.sources.torchvision import find_in_torchvision
from sslhsic_transfer.errors import ConfigError, DataError

# Function that finds the pictures of an address, by the part before ://.
SCHEMES: dict[str, Callable[[Address], PretrainingData]] = {
    "hf": find_in_huggingface,
    "torchvision": find_in_torchvision,
}

_REMOTE = frozenset({"abfs", "az", "file", "ftp", "gcs", "gs", "http", "https", "pipe", "s3"})


def find_data(data: str | Path) -> PretrainingData:
    """Find the data that a user names.

    Args:
        data: a folder of pictures or of tar shards, perhaps with ``train/`` and ``val/`` in it; a ``.tar`` file or a
            pattern of several, such as ``DIR/train-{000..012}.tar``; ``torchvision://CLASS?root=DIR``;
            ``hf://ORG/NAME`` or ``hf://BUILDER?data_files=…``.

    Raises:
        DataError: there are no pictures.
        ConfigError: the address is not valid.
        MissingDependencyError: the address needs a package that is not installed.
    """
    text = str(data)
    if (addressed := _find_address(data)) is not None:
        return addressed
    path = Path(text)
    if path.is_dir():
        return find_in_folder(path)
    if path.is_file() or any(character in text for character in "*?[{"):
        shards = expand(text)
        return PretrainingData(shards[0].resolve().parent.name, ShardedPictures.index(shards))
    raise DataError(
        f"{text} is not a folder; expected a folder of pictures or shards, a .tar file or a pattern of them, or an "
        f"address that begins with {' or '.join(f'{name}://' for name in SCHEMES)}."
    )


def find_pictures(source: str | Path) -> KeyedPictures:
    """Find all pictures of a source, in order.

    Args:
        source: a folder of pictures, searched recursively, or of tar shards; a ``.tar`` file or a pattern of several; a
            list of files, ``.txt`` or ``.lst`` with one path per line, or ``-`` for one from standard input; a
            ``.parquet`` or ``.arrow`` file or a pattern of several, with a column of picture files' bytes;
            ``torchvision://CLASS?root=DIR``; ``hf://ORG/NAME`` or ``hf://BUILDER?data_files=…``.

    Raises:
        DataError: there are no pictures.
        ConfigError: the address is not valid, or that of a stream.
        MissingDependencyError: the source needs a package that is not installed.
    """
    text = str(source)
    if text == "-":
        return find_in_standard_input()
    suffix = Path(text).suffix.lower()
    if "://" not in text and suffix in (".parquet", ".arrow"):
        source = f"hf://{suffix[1:]}?data_files={quote(text)}"
    if (addressed := _find_address(source)) is not None:
        if isinstance(addressed.train, Stream):
            raise ConfigError(f"{text} is a stream, whose pictures have no numbers to go on from: leave out streaming.")
        return addressed.train  # type: ignore[return-value] # all kinds but streams have keys
    path = Path(text)
    if path.is_dir():
        return open_folder(path)
    if path.is_file() and suffix in (".txt", ".lst"):
        return find_in_list(path)
    if path.is_file() or any(character in text for character in "*?[{"):
        return ShardedPictures.index(expand(text))
    raise DataError(
        f"{text} is not there; expected a folder of pictures or shards, a .tar file or a pattern of them, a list of "
        f"files (.txt), a .parquet file, or an address that begins with "
        f"{' or '.join(f'{name}://' for name in SCHEMES)}."
    )


def _find_address(data: str | Path) -> PretrainingData | None:
    """Find the data of an address; return None if the text is a path.

    Raises:
        DataError: it is an address on another machine.
        ConfigError: there is no such kind of address.
    """
    text = str(data)
    if isinstance(data, Path) and (found := re.match(r"(\w+):/", text)) and found[1] in SCHEMES:
        raise ConfigError(f"{text} is an address given as a Path, which loses a slash: pass a string.")
    scheme = "pipe" if text.startswith("pipe:") else text.partition("://")[0] if "://" in text else ""
    if scheme in SCHEMES:
        return SCHEMES[scheme](Address.parse(text))
    if scheme in _REMOTE:
        raise DataError(
            f"{text} is not on this machine. Copy the shards to a disk, or stream them: "
            "hf://webdataset?data_files=URL&streaming=true&length=PICTURES"
        )
    if scheme:
        raise ConfigError(
            f"{text}: no such kind of data: {scheme}://{suggestion(scheme, SCHEMES)}. Expected a folder, shards, or "
            f"an address that begins with {' or '.join(f'{name}://' for name in SCHEMES)}."
        )
    return None
