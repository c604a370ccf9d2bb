"""`Encoder`, its making and its loading by name or path: what users see of the models and the hub."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import torch
from torch import nn

from sslhsic_transfer._config import validate
from sslhsic_transfer._devices import as_device, as_dtype
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, SSLHSICError, WeightsError
from sslhsic_transfer.hub.config_file import ModelFiles
from sslhsic_transfer.hub.download import HubAccess, download_model
from sslhsic_transfer.hub.folder import read_folder, save_folder
from sslhsic_transfer.hub.resolve import Published, resolve
from sslhsic_transfer.models.config import EncoderConfig, resolve_architecture
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from sslhsic_transfer.hub.publishing.upload import PublishReport
    from sslhsic_transfer.results import Result

logger = logging.getLogger(__name__)


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `from_pretrained`."""

    revision: str | None
    cache_dir: str | Path | None
    local_files_only: bool
    token: str | bool | None
    device: torch.device | str | None
    dtype: torch.dtype | str | None


class Encoder(EncoderBase):
    """A network without a head and its preprocessing; a ResNet's state dict has torchvision's parameter names.

    >>> encoder = create_encoder("resnet50")
    >>> encoder(torch.randn(2, 3, 224, 224)).shape  # normalized pictures in, embeddings out
    torch.Size([2, 2048])
    >>> encoder.feature_maps(torch.randn(2, 3, 224, 224), stages=("c4",))["c4"].shape
    torch.Size([2, 1024, 14, 14])
    >>> encoder.embed(["cat.jpg"]).shape  # pictures in, preprocessing included
    torch.Size([1, 2048])

    Args:
        config: which network.
        preprocessing: how pictures become its input.
        zero_init_residual: start the last normalization of each block at zero instead of one.
        metadata: facts about the weights (training data, epochs, …) that are saved with them.

    Attributes:
        name_or_path: what the weights were loaded by; None where they were not.

    Raises:
        ConfigError: ``preprocessing`` is not a `Preprocessing`.
    """

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Unpack[LoadOptions]) -> "Encoder":
        """Load weights; the same as `sslhsic_transfer.from_pretrained`, which lists the options."""
        return from_pretrained(name_or_path, **options)

    @classmethod
    def from_torchvision(cls, model: str | nn.Module, *, weights: Any = "DEFAULT") -> "Encoder":
        """Take a ResNet of torchvision; the same as `sslhsic_transfer.hub.convert.convert_torchvision`.

        >>> encoder = Encoder.from_torchvision("resnet50", weights="IMAGENET1K_V2")
        """
        from sslhsic_transfer.hub.convert.from_torchvision import read_torchvision

        return read_torchvision(Encoder, model, weights).encoder

    @classmethod
    def from_timm(cls, model: str | nn.Module, *, pretrained: bool = True) -> "Encoder":
        """Take a ResNet of timm; the same as `sslhsic_transfer.hub.convert.convert_timm`.

        >>> encoder = Encoder.from_timm("resnet50.a1_in1k")
        """
        from sslhsic_transfer.hub.convert.from_timm import read_timm

        return read_timm(Encoder, model, pretrained=pretrained).encoder

    def save_pretrained(
        self, directory: str | Path, *, overwrite: bool = False, dtype: torch.dtype | str | None = None
    ) -> Path:
        """Write a model folder; the same as `sslhsic_transfer.hub.folder.save_folder`."""
        return save_folder(self, directory, overwrite=overwrite, dtype=dtype)

    def push_to_hub(self, repo_id: str, results: "Sequence[Result]", **options: Any) -> "PublishReport":
        """Publish on the Hub; the same as `sslhsic_transfer.hub.publishing.push_to_hub`, which lists the options."""
        from sslhsic_transfer.hub.publishing.upload import push_to_hub

        return push_to_hub(self, repo_id, results, **options)


def create_encoder(
    architecture: str,
    *,
    stem: Literal["imagenet", "small"] = "imagenet",
    padding: Literal["torch", "same"] = "torch",
    width: Literal[1, 2, 4] = 1,
    preprocessing: Preprocessing | None = None,
    zero_init_residual: bool = False,
) -> Encoder:
    """Make an untrained encoder, initialized from torch's global random state.

    Args:
        architecture: ``"resnet18"``, or likewise 34, 50, 101, 152 or 200; or timm's name of a ConvNeXt or ViT, such as
            ``"convnext_tiny"``, ``"vit_small_patch16"``, ``"vit_base_patch14_reg4_dinov2"``.
        stem: ``"imagenet"``, or ``"small"`` for pictures of up to 64 pixels.
        padding: ``"torch"``, or ``"same"`` for the convention of JAX checkpoints.
        width: multiplier of all channels: 2 and 4 give the wide ResNets of BYOL and SSL-HSIC.
        preprocessing: how pictures become input; by default resize to 256 and crop to 224.
        zero_init_residual: start the last normalization of each block at zero instead of one.

    Raises:
        UnknownArchitectureError: no family has the architecture.
        MissingDependencyError: it is timm's, and timm is not installed.
        ConfigError: another argument is not one of its choices, or no preprocessing.
    """
    architecture = resolve_architecture(architecture)
    settings = {"architecture": architecture, "stem": stem, "padding": padding, "width": width}
    config = validate(EncoderConfig, settings, source="create_encoder(…)")
    return Encoder(config, preprocessing, zero_init_residual=zero_init_residual)


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
        WeightsError, FingerprintError: see `load_folder`.
    """
    place, dtype = as_device(device), as_dtype(dtype)
    access = HubAccess(cache_dir, local_files_only, token)
    found = resolve(name_or_path, revision)
    encoder = _load_local(found) if isinstance(found, Path) else _load_shipped(found) or _load_from_hub(found, access)
    encoder.name_or_path = str(name_or_path)
    return encoder if place is None and dtype is None else encoder.to(device=place, dtype=dtype)


def load_folder(source: str | Path | ModelFiles, *, sha256: str | None = None) -> Encoder:
    """Load a model folder; `sslhsic_transfer.hub.folder.read_folder` tells what is checked, and the errors.

    Args:
        source: a model folder, a .safetensors file with its config.json next to it, or the two files.
        sha256: the hash that the weights must have, if it is known from elsewhere.
    """
    return read_folder(Encoder, source, sha256=sha256)


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
    return read_folder(Encoder, path)


def _load_shipped(found: Published) -> Encoder | None:
    """Load the copy in the package; return None if there is none or it is not what the name stands for."""
    if found.shipped is None:
        return None
    try:
        encoder = read_folder(Encoder, found.shipped, sha256=found.sha256)
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
        return read_folder(Encoder, files, sha256=found.sha256)
    except (WeightsError, ConfigError) as error:
        if access.local_files_only:
            raise
        logger.warning("What the cache holds of %s cannot be used, so it is fetched anew: %s", found.name, error)
        try:
            files = download_model(found.name, access, force=True)
        except SSLHSICError as hub:
            raise type(error)(f"{error}\nIt could not be fetched anew: {hub}") from error
    return read_folder(Encoder, files, sha256=found.sha256)
