"""Hash of a source's pictures, which is kept in checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np

from sslhsic_transfer._fingerprint import Fingerprint
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import Pictures, spread_indices
from sslhsic_transfer.data.sources.huggingface import HuggingFacePictures
from sslhsic_transfer.data.sources.shards import ShardedPictures
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.data.sources.torchvision import TorchvisionPictures

_SAMPLED = 64  # number of pictures from a source without a list of files


def fingerprint(pictures: Pictures | Stream) -> str:
    """Hash a source's properties that distinguish it from others, independent of its location.

    For folders these are the relative names of all files and the sizes of up to 50,000. For shards they are their names
    and the positions of pictures, for torchvision's data sets the files or a sample of the arrays, for Hugging Face's a
    sample of the encoded pictures, and for streams the number of parts. The hash includes number, labels and classes.

    Returns:
        A SHA-256 in hexadecimal digits.
    """
    found = Fingerprint()
    found.add([type(pictures).__name__, len(pictures), list(pictures.classes)])
    if isinstance(pictures, Stream):
        found.add([pictures.image, pictures.shards])
        return found.hexdigest()
    found.add(np.asarray(pictures.labels, dtype=np.int64))
    if isinstance(pictures, ImageFolder):
        found.add(pictures.paths)
    elif isinstance(pictures, ShardedPictures):
        found.add(pictures.shards)
        found.add(pictures.places)
    elif isinstance(pictures, TorchvisionPictures):
        found.add(_of_torchvision(pictures))
    elif isinstance(pictures, HuggingFacePictures):
        found.add([_encoded(pictures.dataset[index][pictures.image]) for index in _sample(pictures)])
    return found.hexdigest()


def _of_torchvision(pictures: TorchvisionPictures) -> Any:
    if (files := pictures.files) is not None:
        return [Path(file) for file in files]
    data = getattr(pictures.dataset, "data", None)
    if data is None or not hasattr(data, "__getitem__") or len(data) != len(pictures):
        return None
    return [np.asarray(data[index]) for index in _sample(pictures)]


def _encoded(value: Any) -> Any:
    """Return what to hash of a picture: its bytes, or its address or file."""
    content, path = (value["bytes"], value["path"]) if value else (None, None)
    if content is not None or path is None:
        return content
    return path if "://" in path else Path(path)


def _sample(pictures: Pictures) -> list[int]:
    return sorted(set(spread_indices(len(pictures), min(len(pictures), _SAMPLED))))
