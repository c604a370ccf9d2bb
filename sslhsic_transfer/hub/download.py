"""Download of model files from the Hub into huggingface_hub's cache."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslhsic_transfer.errors import HubError
from sslhsic_transfer.hub.config_file import CONFIG_NAME, LARGEST_CONFIG, WEIGHTS_NAME, ModelFiles, read_config
from sslhsic_transfer.hub.hub_errors import breaks_off, hub_errors
from sslhsic_transfer.hub.names import HubName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubAccess:
    """How the Hub may be used.

    Attributes:
        cache_dir: where downloads are kept; by default huggingface_hub's cache.
        local_files_only: use the cache only, never the network.
        token: for private repositories; None uses the stored token, if any; False uses none.
    """

    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = field(default=None, repr=False)


def download_model(name: HubName, access: HubAccess, *, force: bool = False) -> ModelFiles:
    """Fetch a model's two files, both from one commit, or find them in the cache.

    Only config.json and model.safetensors are fetched. A file is not fetched if the Hub announces a size above its
    limit. HF_HUB_OFFLINE, HF_HOME and HF_ENDPOINT act as in huggingface_hub.

    Args:
        name: repository and revision.
        access: how the Hub may be used.
        force: fetch the files again even if the cache has them.

    Raises:
        ModelNotFoundError: the repository, revision or file does not exist, or is not in the cache when offline.
        HubError: the Hub refuses or fails, the connection breaks, or the disk is full.
        ConfigError: config.json cannot be used.
    """
    config, commit = fetch_file(name, CONFIG_NAME, name.revision, lambda: LARGEST_CONFIG, access, force)
    weights, _ = fetch_file(name, WEIGHTS_NAME, commit, lambda: _largest_weights(config), access, force)
    return ModelFiles(config, weights)


def fetch_file(
    name: HubName,
    filename: str,
    revision: str | None,
    limit: Callable[[], int],
    access: HubAccess,
    force: bool = False,
) -> tuple[Path, str]:
    """Fetch one file of a repository, or find it in the cache.

    Args:
        name: repository and revision.
        filename: the file.
        revision: branch, tag or commit to take it from.
        limit: returns the largest size allowed, in bytes; called only if the file must be fetched.
        access: how the Hub may be used.
        force: fetch the file again even if the cache has it.

    Returns:
        Its path in the cache, and the commit it comes from.

    Raises:
        ModelNotFoundError: the repository, revision or file does not exist, or is not in the cache when offline.
        HubError: the Hub refuses or fails, the connection breaks, the disk is full, or the file is too large.
    """
    asked = {
        "repo_id": name.repo_id,
        "filename": filename,
        "revision": revision,
        "cache_dir": access.cache_dir,
        "local_files_only": access.local_files_only,
        "token": access.token,
    }
    with hub_errors(str(name), filename):
        plan = _plan(asked)
        path = Path(plan.local_path)
        if force or not path.is_file():  # if another commit has the same content, it is only linked
            if plan.file_size > (most := limit()):
                raise HubError(
                    f"{filename} of {name} has {plan.file_size} bytes by the Hub's account; expected at most "
                    f"{most}. It was not fetched."
                )
            logger.info("Fetching %s of %s, %d bytes", filename, name, plan.file_size)
            path = Path(_insisting(asked | {"force_download": force}))
    _refuse_what_leaves_the_cache(path, name)
    return path, path.parents[len(Path(filename).parts) - 1].name  # the cache has a folder for each commit


def _largest_weights(config: Path) -> int:
    import torch  # imported here because ONNX files are also fetched without torch

    from sslhsic_transfer.hub.folder import largest_weights
    from sslhsic_transfer.models.encoder import EncoderBase

    with torch.device("meta"):
        return largest_weights(EncoderBase(read_config(config).encoder))


def _plan(asked: dict[str, Any]) -> Any:
    """Return huggingface_hub's plan for a download. Use only the cache if the connection breaks first."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return _insisting(asked | {"dry_run": True})
    except Exception as error:
        if not breaks_off(error):
            raise
        try:
            return hf_hub_download(**asked | {"dry_run": True, "local_files_only": True})
        except errors.LocalEntryNotFoundError:
            raise error from None


def _insisting(asked: dict[str, Any], tries: int = 3) -> Any:
    """Download, and try again if the connection breaks: huggingface_hub itself retries only some failures."""
    from huggingface_hub import hf_hub_download

    while True:
        tries -= 1
        try:
            return hf_hub_download(**asked)
        except Exception as error:
            if not breaks_off(error) or not tries:
                raise
            logger.warning("The connection broke (%s); %d more tries", type(error).__name__, tries)


def _refuse_what_leaves_the_cache(path: Path, name: HubName) -> None:
    """Refuse a cached file that links to a place outside its repository's folder in the cache."""
    repository = next((p for p in path.parents if p.name == f"models--{name.repo_id.replace('/', '--')}"), None)
    if repository is None or not path.resolve().is_relative_to(repository.resolve()):
        raise HubError(
            f"{path} leads to {path.resolve()}, outside of the cache's folder of {name}. It was not read; "
            "delete the link, and load the model again."
        )
