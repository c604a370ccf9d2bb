"""A model folder, on disk and on the Hub alike: config.json, model.safetensors and what describes them."""

import logging
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sslhsic_transfer._devices import as_dtype
from sslhsic_transfer._files import atomic_path, removed_on_failure, sha256_of_file
from sslhsic_transfer.errors import FingerprintError, OutputExistsError, SSLHSICError
from sslhsic_transfer.hub.config_file import (
    CONFIG_NAME,
    Fingerprint,
    FolderConfig,
    config_text,
    read_config,
    write_config,
)
from sslhsic_transfer.hub.files import ModelFiles
from sslhsic_transfer.hub.fingerprint import check_features, probe_features
from sslhsic_transfer.hub.safetensors_file import check_there
from sslhsic_transfer.hub.state import refuse_non_finite
from sslhsic_transfer.hub.verified import is_verified, mark_for, remember
from sslhsic_transfer.hub.weights_file import read_weights
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

_TRIES = 3  # of a folder that is written while it is read
_LATELY = 5.0  # seconds since a file was written, in which its neighbour may follow
_BETWEEN_TWO = 0.5  # seconds that the neighbour is waited for


def save_folder(
    encoder: Encoder, directory: str | Path, *, overwrite: bool = False, dtype: torch.dtype | str | None = None
) -> Path:
    """Write an encoder's config.json and model.safetensors.

    Args:
        encoder: what to save; its mode and device do not matter.
        directory: made if need be; other files in it stay.
        dtype: in which to store the weights; by default their own. ``torch.float16`` halves the file, and changes
            embeddings by about a thousandth: it becomes float32 again where it is loaded.
        overwrite: whether weights that are there already may be replaced.

    Returns:
        The directory.

    Raises:
        OutputExistsError: the directory holds weights and ``overwrite`` is false.
        ConfigError: ``encoder.metadata`` hold what JSON does not, or too much; or weights are not kept in ``dtype``.
        WeightsError: the weights hold NaN or infinite values, in the dtype that they are stored in.
    """
    files = ModelFiles.at(directory := Path(directory))
    if files.weights.exists() and not overwrite:
        raise OutputExistsError(
            f"{files.weights} already exists; choose another folder, or pass overwrite=True (--overwrite)."
        )
    kept = as_dtype(dtype)
    state = {name: _stored(tensor.detach(), kept) for name, tensor in encoder.state_dict().items()}
    refuse_non_finite(state, "the encoder")
    features = probe_features(_fill(_empty(encoder.config, encoder.preprocessing, encoder.metadata), state))
    with removed_on_failure(directory), atomic_path(files.weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
        config = FolderConfig(
            format_version=1,
            encoder=encoder.config,
            preprocessing=encoder.preprocessing,
            fingerprint=Fingerprint(sha256=sha256_of_file(temporary), features=features),
            metadata=encoder.metadata,
        )
        config_text(config)  # what cannot be written is found before the weights take their place
    write_config(files.config, config)
    return directory


def load_folder(source: str | Path | ModelFiles, *, sha256: str | None = None) -> Encoder:
    """Read a model folder: strictly, on the CPU, in the dtype it was stored in (float16 becomes float32), in eval mode.

    Hash, finiteness and features are checked at the first load of a file, and again whenever it, its config.json, this
    library or torch has changed (`sslhsic_transfer.hub.verified`). A folder that is saved anew meanwhile, so that the
    two files are of two moments, is read again.

    Args:
        source: a model folder, a .safetensors file with its config.json beside it, or the two files.
        sha256: the hash that the weights must have, where it is known from elsewhere.

    Raises:
        ModelNotFoundError: the folder, its config.json or its weights are not there.
        ConfigError: config.json does not parse or does not validate.
        WeightsError: the weights are damaged, incomplete, of another shape, or not finite.
        FingerprintError: the weights are whole but not the ones that config.json describes.
    """
    files = source if isinstance(source, ModelFiles) else ModelFiles.at(source)
    tries = _TRIES
    while True:
        before = _moment(files)
        try:
            return _load(files, sha256)
        except SSLHSICError as error:
            tries -= 1
            if not tries or not _changed_since(before, files):
                raise
            logger.warning("%s changed while it was read, so it is read again: %s", files.weights, error)


def _load(files: ModelFiles, sha256: str | None) -> Encoder:
    config = read_config(files.config, sha256=sha256)
    encoder = _empty(config.encoder, config.preprocessing, config.metadata)
    check_there(files.weights)
    mark = mark_for(files.weights, config.model_dump_json(include={"encoder", "preprocessing", "fingerprint"}))
    verified = is_verified(mark)
    content = read_weights(files.weights, encoder, hashed=not verified)
    if not verified:
        _check_hash(files.weights, content.sha256, config.fingerprint.sha256)
        refuse_non_finite(content.tensors, str(files.weights))
    _fill(encoder, content.tensors).weights_sha256 = config.fingerprint.sha256
    if not verified:
        check_features(encoder, config.fingerprint, source=str(files.weights))
        remember(mark, files.weights)
    return encoder


def _moment(files: ModelFiles) -> list[tuple[int, int, int] | None]:
    """Give what changes of two files when they are written; None for one that is not there."""
    found: list[tuple[int, int, int] | None] = []
    for path in (files.config, files.weights):
        try:
            state = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return found


def _changed_since(before: list[tuple[int, int, int] | None], files: ModelFiles) -> bool:
    """Tell whether the files are others than before, or become so in a moment, as when a model is saved anew."""
    newest = max((state[2] for state in before if state), default=0) / 1e9
    end = time.monotonic() + (_BETWEEN_TWO if abs(time.time() - newest) < _LATELY else 0)
    while _moment(files) == before:
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    time.sleep(0.2)
    return True


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to("cpu", dtype if tensor.is_floating_point() else None).contiguous()


def _empty(config: EncoderConfig, preprocessing: Preprocessing, metadata: dict[str, Any]) -> Encoder:
    with torch.device("meta"):
        return Encoder(config, preprocessing, metadata=metadata)


def _fill(encoder: Encoder, state: dict[str, torch.Tensor]) -> Encoder:
    """Give stored tensors to an encoder; float16 is a way to store them, not to compute."""
    state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    encoder.load_state_dict(state, strict=True, assign=True)
    return encoder.requires_grad_(True).eval()


def _check_hash(weights: Path, found: str | None, expected: str) -> None:
    if found != expected:
        raise FingerprintError(
            f"{weights} has SHA-256 {found}; {CONFIG_NAME} names {expected}. The file was changed or exchanged after "
            "it was saved: fetch or save the folder again."
        )
