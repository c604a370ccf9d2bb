"""`from_pretrained`: from what a user calls a model to an encoder that is ready to use."""

from pathlib import Path

import torch

from sslhsic_transfer.errors import ModelNotFoundError
from sslhsic_transfer.hub.folder import load_folder
from sslhsic_transfer.models.encoder import Encoder


def from_pretrained(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Encoder:
    """Load an encoder with its weights, in eval mode.

    Args:
        name_or_path: a model folder. Names on the Hugging Face Hub are not resolved yet.
        revision: branch, tag or commit of a Hub repository.
        cache_dir: where downloads are kept.
        local_files_only: never go to the network.
        token: for private repositories.
        device: where to put the weights; the CPU by default.
        dtype: what to cast them to; by default they stay as stored, float16 apart, which becomes float32.

    Returns:
        The encoder; its weights and its features have been checked against the fingerprint in config.json.

    Raises:
        ModelNotFoundError: the name does not lead to a model folder.
        ConfigError, WeightsError, FingerprintError: see `sslhsic_transfer.hub.folder.load_folder`.
    """
    folder = resolve(
        name_or_path, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
    )
    encoder = load_folder(folder)
    stored = encoder.conv1.weight.dtype
    return encoder.to(device=device, dtype=dtype or (torch.float32 if stored == torch.float16 else None))


def resolve(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Find the folder that a name stands for.

    Raises:
        ModelNotFoundError: there is none.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    raise ModelNotFoundError(
        f"There is no model folder at {str(name_or_path)!r}. This version loads local folders only, such as RUN/model "
        "after `sslhsic pretrain … --output RUN`; names on the Hugging Face Hub are not resolved yet."
    )
