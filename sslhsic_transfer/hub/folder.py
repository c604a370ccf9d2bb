"""A model folder, on disk or on the Hub: config.json, model.safetensors and files that describe them."""

import logging
import time
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file

from sslhsic_transfer._devices import as_dtype
from sslhsic_transfer._files import atomic_path, removed_on_failure, sha256_of_file
from sslhsic_transfer.errors import FingerprintError, OutputExistsError, SSLHSICError, WeightsError
from sslhsic_transfer.hub.config_file import (
    CONFIG_NAME,
    Fingerprint,
    FolderConfig,
    ModelFiles,
    config_text,
    read_config,
    write_config,
)
from sslhsic_transfer.hub.fingerprint import check_features, probe_features, probe_image
from sslhsic_transfer.hub.safetensors_file import (
    LARGEST_HEADER,
    SafetensorsContent,
    check_there,
    read_safetensors_file,
)
from sslhsic_transfer.hub.tensor_checks import FLOATING, check_fit, refuse_non_finite
from sslhsic_transfer.hub.verification_cache import is_verified, mark_for, remember
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=EncoderBase)

_TRIES = 3  # attempts to read a folder that is being written
_LATELY = 5.0  # seconds after a file was written during which the other file may still follow
_BETWEEN_TWO = 0.5  # seconds to wait for the other file


def save_folder(
    encoder: EncoderBase, directory: str | Path, *, overwrite: bool = False, dtype: torch.dtype | str | None = None
) -> Path:
    """Write an encoder's config.json and model.safetensors.

    Args:
        encoder: what to save; its mode and device do not matter.
        directory: created if needed; other files in it stay.
        dtype: how to store the weights; by default in their own dtype. ``torch.float16`` halves the file and changes
            embeddings by about a thousandth; loading converts it back to float32.
        overwrite: whether existing weights may be replaced.

    Returns:
        The directory.

    Raises:
        OutputExistsError: the directory holds weights and ``overwrite`` is false.
        ConfigError: ``encoder.metadata`` hold values that JSON cannot hold, or too many; or weights cannot be stored in
            ``dtype``.
        WeightsError: the weights hold NaN or infinite values in the dtype in which they are stored.
    """
    files = ModelFiles.at(directory := Path(directory))
    if files.weights.exists() and not overwrite:
        raise OutputExistsError(
            f"{files.weights} already exists; choose another folder, or pass overwrite=True (--overwrite)."
        )
    kept = as_dtype(dtype)
    state = {name: _stored(tensor.detach(), kept) for name, tensor in encoder.state_dict().items()}
    refuse_non_finite(state, "the encoder")
    stored = _empty(EncoderBase, encoder.config, encoder.preprocessing, encoder.metadata)
    features = probe_features(_fill(stored, state), probe_image())
    with removed_on_failure(directory), atomic_path(files.weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
        config = FolderConfig(
            format_version=1,
            encoder=encoder.config,
            preprocessing=encoder.preprocessing,
            fingerprint=Fingerprint(sha256=sha256_of_file(temporary), features=features),
            metadata=encoder.metadata,
        )
        config_text(config)  # find metadata that cannot be written before the weights are replaced
    write_config(files.config, config)
    return directory


def read_folder(kind: type[E], source: str | Path | ModelFiles, *, sha256: str | None = None) -> E:
    """Read a model folder strictly. The encoder is on the CPU, in the stored dtype (float16 as float32), in eval mode.

    Hash, finiteness and features are checked when a file is first loaded, and again whenever the file, its config.json,
    this library or torch has changed (`sslhsic_transfer.hub.verification_cache`). If the folder is saved again during
    the read, so that the two files do not match, it is read again.

    Args:
        kind: the class of the encoder to make.
        source: a model folder, a .safetensors file with its config.json next to it, or the two files.
        sha256: the hash that the weights must have, if it is known from elsewhere.

    Raises:
        ModelNotFoundError: the folder, its config.json or its weights do not exist.
        ConfigError: config.json does not parse or does not validate.
        WeightsError: the weights are damaged, incomplete, of other shapes, or not finite.
        FingerprintError: the weights are intact but are not the ones that config.json describes.
    """
    files = source if isinstance(source, ModelFiles) else ModelFiles.at(source)
    tries = _TRIES
    while True:
        before = _moment(files)
        try:
            return _load(kind, files, sha256)
        except SSLHSICError as error:
            tries -= 1
            if not tries or not _changed_since(before, files):
                raise
            logger.warning("%s changed while it was read, so it is read again: %s", files.weights, error)


def _load(kind: type[E], files: ModelFiles, sha256: str | None) -> E:
    config = read_config(files.config, sha256=sha256)
    encoder = _empty(kind, config.encoder, config.preprocessing, config.metadata)
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
    """Return inode, size and modification time of both files; None for a missing file."""
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
    """Tell whether the files have changed, or change within a moment because the model is being saved again."""
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


def _empty(kind: type[E], config: EncoderConfig, preprocessing: Preprocessing, metadata: dict[str, Any]) -> E:
    with torch.device("meta"):
        return kind(config, preprocessing, metadata=metadata)


def _fill(encoder: E, state: dict[str, torch.Tensor]) -> E:
    """Load stored tensors into an encoder. Convert float16, which is used for storage only, to float32."""
    state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    encoder.load_state_dict(state, strict=True, assign=True)
    return encoder.requires_grad_(True).eval()


def _check_hash(weights: Path, found: str | None, expected: str) -> None:
    if found != expected:
        raise FingerprintError(
            f"{weights} has SHA-256 {found}; {CONFIG_NAME} names {expected}. The file was changed or exchanged after "
            "it was saved: fetch or save the folder again."
        )


def largest_weights(encoder: EncoderBase) -> int:
    """Return the largest size in bytes of a file with an encoder's weights: eight per number, and the header."""
    return 8 + LARGEST_HEADER + 8 * sum(tensor.numel() for tensor in encoder.state_dict().values())


def read_weights(path: Path, encoder: EncoderBase, *, hashed: bool = False) -> SafetensorsContent:
    """Read a safetensors file that must hold exactly an encoder's state dict.

    Args:
        path: the file.
        encoder: the encoder that the file is for; may be on the meta device.
        hashed: whether to hash the bytes.

    Returns:
        Tensors on the CPU in the file's dtypes, and the hash.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is damaged, or its names, shapes or kinds of dtype are not the encoder's.
    """
    check_there(path)
    if (size := path.stat().st_size) > (most := largest_weights(encoder)):
        raise WeightsError(f"{path} has {size} bytes; this network's weights have at most {most}.")
    content = read_safetensors_file(path, hashed=hashed, largest_header=LARGEST_HEADER)
    state = content.tensors
    check_fit(encoder, state, str(path), called=str(encoder.config), advice=f"Check 'encoder' in {CONFIG_NAME}.")
    for name, tensor in encoder.state_dict().items():
        floating = state[name].dtype in FLOATING if tensor.is_floating_point() else state[name].dtype == tensor.dtype
        if not floating:
            expected = "a kind of float of 16 to 64 bits" if tensor.is_floating_point() else tensor.dtype
            raise WeightsError(f"{path}: {name} holds {state[name].dtype}; expected {expected}.")
    return content
