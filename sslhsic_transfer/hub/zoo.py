"""The table of short names: the weights that each name stands for, pinned by their hash."""

import difflib
import fnmatch
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sslhsic_transfer.errors import ModelNotFoundError
from sslhsic_transfer.hub.names import HubName
from sslhsic_transfer.models.config import EncoderConfig

NAMESPACE_VARIABLE = "SSLHSIC_HUB_NAMESPACE"
_NAMESPACE = "sslhsic"


def chosen_namespace() -> str | None:
    """Return the owner of the repositories that short names stand for, if SSLHSIC_HUB_NAMESPACE is set."""
    return os.environ.get(NAMESPACE_VARIABLE) or None


@dataclass(frozen=True)
class ZooModel:
    """One row of the table.

    Attributes:
        name: the short name, and the name of the repository within the namespace.
        encoder: the network.
        licence: SPDX identifier of the weights' licence.
        data: what the weights were trained on.
        recipe: the recipe that trains them.
        sha256: hash of model.safetensors.
        revision: tag of the repository that holds these weights.
    """

    name: str
    encoder: EncoderConfig
    licence: str
    data: str
    recipe: str
    sha256: str
    revision: str

    @property
    def hub_name(self) -> HubName:
        """The repository and its revision, in the namespace, which SSLHSIC_HUB_NAMESPACE may set."""
        return HubName(f"{os.environ.get(NAMESPACE_VARIABLE) or _NAMESPACE}/{self.name}", self.revision)

    @property
    def shipped(self) -> Path:
        """The folder in the package where a copy would be."""
        return Path(str(files("sslhsic_transfer.model_cards"))) / self.name


ZOO: dict[str, ZooModel] = {
    model.name: model
    for model in (
        ZooModel(
            name="sslhsic-r18",
            encoder=EncoderConfig(architecture="resnet18"),
            licence="apache-2.0",
            data="Imagenette and 36 classes of Tiny ImageNet",
            recipe="imagenette-r18",
            sha256="c490ce04b60d095f0c934cceb922c92f6c84914d1620a49ffc29916f2c7266f6",
            revision="v2",
        ),
        ZooModel(
            name="sslhsic-r50",
            encoder=EncoderConfig(architecture="resnet50"),
            licence="apache-2.0",
            data="Imagenette and 36 classes of Tiny ImageNet",
            recipe="imagenette-r50",
            sha256="3dc009438f1ca465cc1a7a7bb97f506401239d45e01f6f27ab853f1e0c6cf1cc",
            revision="v2",
        ),
    )
}


def list_models(pattern: str = "*") -> list[ZooModel]:
    """Return the rows whose names match a pattern, such as ``"*r50*"``, in the table's order.

    Args:
        pattern: with ``*``, ``?`` and ``[…]`` as in a shell.
    """
    return [model for model in ZOO.values() if fnmatch.fnmatchcase(model.name, pattern)]


def unknown_name(name: str) -> ModelNotFoundError:
    """Return the error for an unknown name, with the closest known names."""
    near = difflib.get_close_matches(name, ZOO, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelNotFoundError(
        f"No model is called {name!r}, and there is no folder of that name here. {hint}Known names: {', '.join(ZOO)}. "
        "A repository on the Hub is org/repo, a folder ./folder."
    )
