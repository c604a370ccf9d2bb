"""Encoded pictures of Hugging Face data sets: the content of a file, or its path."""

import hashlib
from collections.abc import Mapping
from typing import Any

from PIL import Image

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.data.images import open_bytes, open_image, picture_errors
from sslhsic_transfer.errors import ImageError


def open_encoded(value: Mapping[str, Any] | None, name: str) -> Image.Image:
    """Open a picture without decoding it yet; one that is not on this machine is downloaded.

    Args:
        value: ``bytes`` and ``path``, either of which may be None.
        name: its name in errors.

    Raises:
        ImageError: the picture cannot be read.
    """
    content, path = (value["bytes"], value["path"]) if value else (None, None)
    if content is not None:
        return open_bytes(content, name)
    if path is None:
        raise ImageError(f"{name} holds no picture.")
    if "://" not in path:
        return open_image(path)
    with picture_errors(name):
        image: Image.Image = import_datasets().Image().decode_example(dict(value or {}))
        return image


def name_encoded(value: Mapping[str, Any] | None) -> str:
    """Make a name from a picture's path and, since many may share one, the start of the SHA-256 of its content."""
    content, path = (value["bytes"], value["path"]) if value else (None, None)
    if content is None:
        return str(path or "an empty row")
    return f"{path or 'a picture'} (SHA-256 {hashlib.sha256(content).hexdigest()[:16]})"


def import_datasets(module: str = "datasets") -> Any:
    """Import the package ``datasets``, or a module of it.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    return optional_import(module, extra="data", purpose="Reading Hugging Face data sets")
