"""Search for the data that a user's text describes."""

import re
from collections.abc import Callable
from pathlib import Path

from sslhsic_transfer.data.sources.address import Address, suggestion
from sslhsic_transfer.data.sources.folders import find_in_folder
from sslhsic_transfer.data.sources.huggingface import find_in_huggingface
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.data.sources.shards import ShardedPictures, expand
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
