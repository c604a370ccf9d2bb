"""Search for a model's ONNX file by the name or path that a user gives."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.adapters.onnx.info import FilePrecision
from sslhsic_transfer.errors import ConfigError, FingerprintError, HubError, ModelNotFoundError
from sslhsic_transfer.hub.config_file import CONFIG_NAME, LARGEST_CONFIG, FolderConfig, read_config
from sslhsic_transfer.hub.download import HubAccess, fetch_file
from sslhsic_transfer.hub.names import refuse_address
from sslhsic_transfer.hub.resolve import Published, resolve

logger = logging.getLogger(__name__)

VARIANTS: tuple[FilePrecision, ...] = get_args(FilePrecision)
FOLDER = "onnx"
_SUFFIXES: dict[FilePrecision, str] = {"fp32": "", "fp16": "_fp16", "int8": "_int8"}


def variant_path(variant: str) -> str:
    """Return the path of a variant within a model folder or Hub repository, as transformers.js and Optimum expect it.

    Raises:
        ConfigError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"Unknown variant {variant!r}; expected one of: {', '.join(VARIANTS)}.")
    return f"{FOLDER}/model{_SUFFIXES[variant]}.onnx"


@dataclass(frozen=True)
class Located:
    """A file on this machine.

    Attributes:
        path: the file.
        weights_sha256: hash of the weights that it must come from; None if unknown.
    """

    path: Path
    weights_sha256: str | None = None


def locate(name_or_file: str | Path, variant: str, revision: str | None, access: HubAccess) -> Located:
    """Find an exported file by its path, in a model folder, in the package, in the cache or on the Hub.

    Args:
        name_or_file: a .onnx file, or what `from_pretrained` takes: a model folder, ``org/repo``, a short name.
        variant: ``"fp32"``, ``"fp16"`` or ``"int8"``; ignored for a .onnx file.
        revision: branch, tag or commit of a repository.
        access: settings of the access to the Hub.

    Returns:
        The file; if config.json has its hash, the file matches it.

    Raises:
        ModelNotFoundError: there is no such model, or no such variant of it.
        ConfigError: the name is not valid, the variant unknown, or config.json not usable.
        FingerprintError: the file is not the one that config.json lists, or config.json belongs to other weights.
        HubError: the Hub refuses, fails or cannot be reached.
    """
    filename = variant_path(variant)
    refuse_address(str(name_or_file))
    if str(name_or_file).endswith(".onnx"):
        return Located(Path(name_or_file).expanduser())
    found = resolve(name_or_file, revision)
    if isinstance(found, Path):
        if found.is_file():
            raise ModelNotFoundError(f"{found} is no .onnx file; expected one, or a model's name or folder.")
        return _in_folder(found, variant)
    if found.shipped and (found.shipped / filename).is_file():
        return _in_folder(found.shipped, variant, found.sha256)
    try:
        with found.looked_up():
            return _on_the_hub(found, filename, variant, access)
    except (HubError, ModelNotFoundError) as error:
        if not found.shipped:
            raise
        raise type(error)(
            f"{error}\nThe weights of {found.shipped.name} came with the package; the file can be made where torch is "
            f"installed: sslhsic export {found.shipped.name} {_options(variant)} --output model.onnx"
        ) from error


def _in_folder(folder: Path, variant: str, weights_sha256: str | None = None) -> Located:
    config = read_config(folder / CONFIG_NAME, sha256=weights_sha256)
    path = folder / variant_path(variant)
    if not path.is_file():
        raise ModelNotFoundError(
            f"There is no {path}. Make it: sslhsic export {folder}/ {_options(variant)} --output {path}"
        )
    return _checked(path, variant, config)


def _on_the_hub(found: Published, filename: str, variant: str, access: HubAccess) -> Located:
    name = found.name
    path, commit = fetch_file(name, CONFIG_NAME, name.revision, lambda: LARGEST_CONFIG, access)
    config = read_config(path, sha256=found.sha256)
    if variant not in config.onnx:
        there = ", ".join(config.onnx) or "none"
        raise ModelNotFoundError(
            f"{name} has no ONNX file of variant {variant!r} (it has: {there}). Export it here: "
            f"sslhsic export {name} {_options(variant)} --output model.onnx"
        )
    most = config.onnx[variant].size
    path, _ = fetch_file(name, filename, commit, lambda: most, access)
    try:
        return _checked(path, variant, config)
    except FingerprintError as error:
        if access.local_files_only:
            raise
        logger.warning("What the cache holds of %s cannot be used, so it is fetched anew: %s", name, error)
        path, _ = fetch_file(name, filename, commit, lambda: most, access, force=True)
        return _checked(path, variant, config)


def _checked(path: Path, variant: str, config: FolderConfig) -> Located:
    if (listed := config.onnx.get(variant)) and (found := sha256_of_file(path)) != listed.sha256:
        raise FingerprintError(
            f"{path} has SHA-256 {found}; {CONFIG_NAME} names {listed.sha256}. The file was changed or exchanged: "
            "fetch or export it again."
        )
    return Located(path, config.fingerprint.sha256)


def _options(variant: str) -> str:
    return f"--precision {variant}{' --calibration PICTURES' * (variant == 'int8')}"
