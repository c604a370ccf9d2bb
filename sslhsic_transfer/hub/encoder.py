"""`from_pretrained`: load an encoder by its name or path."""

import logging
from pathlib import Path
from typing import TypedDict

import torch

from sslhsic_transfer._devices import as_device, as_dtype
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, SSLHSICError, WeightsError
from sslhsic_transfer.hub.download import HubAccess, download_model
from sslhsic_transfer.hub.folder import load_folder
from sslhsic_transfer.hub.resolve import Published, resolve
from sslhsic_transfer.models.encoder import Encoder

logger = logging.getLogger(__name__)


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `from_pretrained`."""

    revision: str | None
    cache_dir: str | Path | None
    local_files_only: bool
    token: str | bool | None
    device: torch.device | str | None
    dtype: torch.dtype | str | None


def from_pretrained(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
) -> Encoder:
    """Load an encoder with its weights, in eval mode.

    The form of a name alone decides how it is read (`sslhsic_transfer.hub.names.parse_name`):

    - a path: a model folder, or a .safetensors file with its config.json next to it;
    - ``org/repo``: a repository on the Hugging Face Hub, never a folder of that name;
    - a word: a short name for one fixed set of weights. It is loaded from the package if the copy there has these
      weights, else from the cache, else from the Hub. A word that is not a short name may be a folder.

    Args:
        name_or_path: the model.
        revision: branch, tag or commit of a Hub repository; also ``org/repo@revision``.
        cache_dir: where downloads are kept; by default huggingface_hub's cache, which HF_HOME may move.
        local_files_only: never use the network.
        token: for private repositories; by default the one that huggingface_hub has stored.
        device: where to put the weights; the CPU by default.
        dtype: the dtype to convert to, such as ``torch.bfloat16`` or ``"bfloat16"``; by default the stored dtype,
            except that float16 becomes float32.

    Returns:
        The encoder. Its weights and features have been checked against the fingerprint in config.json.

    Raises:
        ModelNotFoundError: the name does not lead to a model.
        HubError: the Hub refuses, fails or cannot be reached.
        ConfigError: the name, config.json, the device or the dtype cannot be used.
        WeightsError, FingerprintError: see `sslhsic_transfer.hub.folder.load_folder`.
    """
    place, dtype = as_device(device), as_dtype(dtype)
    access = HubAccess(cache_dir, local_files_only, token)
    found = resolve(name_or_path, revision)
    encoder = _load_local(found) if isinstance(found, Path) else _load_shipped(found) or _load_from_hub(found, access)
    encoder.name_or_path = str(name_or_path)
    return encoder if place is None and dtype is None else encoder.to(device=place, dtype=dtype)


def as_encoder(source: Encoder | str | Path) -> Encoder:
    """Return an encoder as it is; load a name or path with `from_pretrained`."""
    return source if isinstance(source, Encoder) else from_pretrained(source)


def _load_local(path: Path) -> Encoder:
    if not path.exists():
        raise ModelNotFoundError(
            f"There is no model at {path}. Expected a model folder, such as RUN/model/ after `sslhsic pretrain … "
            "--output RUN`, or a .safetensors file with its config.json beside it."
        )
    logger.info("Loading the folder %s", path)
    return load_folder(path)


def _load_shipped(found: Published) -> Encoder | None:
    """Load the copy in the package; return None if there is none or it is not what the name stands for."""
    if found.shipped is None:
        return None
    try:
        encoder = load_folder(found.shipped, sha256=found.sha256)
    except SSLHSICError as error:
        logger.warning("The copy of %s in the package is not used: %s", found.shipped.name, error)
        return None
    logger.info("Loaded %s from the package", found.shipped.name)
    return encoder


def _load_from_hub(found: Published, access: HubAccess) -> Encoder:
    """Fetch and load a model. Fetch it once more if the cached files are damaged."""
    try:
        with found.looked_up():
            files = download_model(found.name, access)
        return load_folder(files, sha256=found.sha256)
    except (WeightsError, ConfigError) as error:
        if access.local_files_only:
            raise
        logger.warning("What the cache holds of %s cannot be used, so it is fetched anew: %s", found.name, error)
        try:
            files = download_model(found.name, access, force=True)
        except SSLHSICError as hub:
            raise type(error)(f"{error}\nIt could not be fetched anew: {hub}") from error
    return load_folder(files, sha256=found.sha256)
