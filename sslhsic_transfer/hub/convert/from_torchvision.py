"""Conversion of torchvision's ResNets and their weights to encoders."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sslhsic_transfer._config import validate
from sslhsic_transfer.errors import ModelNotFoundError, UnknownArchitectureError
from sslhsic_transfer.hub.convert.conversion import Conversion, E, build, check_same_features
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED
from sslhsic_transfer.hub.convert.state_dict import read_state
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.models.resnet_shapes import find_architecture

_OUR_PREPROCESSING = "no weights of torchvision's are named, so the preprocessing is this library's default"


def read_torchvision(kind: type[E], model: str | nn.Module, weights: Any = "DEFAULT") -> Conversion[E]:
    """Convert a model of torchvision to an encoder of some class; `libraries.convert_torchvision` tells all else."""
    if isinstance(model, str):
        source = f"torchvision/{model}"
        chosen = None if weights is None else torchvision_weights(model, weights)
        state = _random(model) if chosen is None else torchvision_state(model, chosen)
    else:
        source = f"torchvision/{type(model).__name__}"
        state = dict(model.state_dict())
    tensors, report = read_state(state, source)
    if isinstance(model, nn.Module):
        named = weights not in (None, "DEFAULT")
        chosen = torchvision_weights(report.config.architecture, weights) if named else None
    if chosen is None:
        report = replace(report, notes=(*report.notes, _OUR_PREPROCESSING))
    else:
        report = replace(report, source=f"{source}/{chosen.name}")
    metadata = {} if chosen is None else {"url": chosen.url, "recipe": chosen.meta.get("recipe")}
    conversion = build(kind, tensors, report, None if chosen is None else _preprocessing(chosen), metadata)
    if isinstance(model, nn.Module):
        check_same_features(conversion.encoder, model, _pooled, source)
    return conversion


def torchvision_weights(architecture: str, weights: Any) -> Any:
    """Return the member of torchvision's enumeration of an architecture's weights.

    Raises:
        UnknownArchitectureError: the architecture is not a ResNet v1.5, or torchvision does not have it.
        ModelNotFoundError: torchvision has no such weights.
    """
    from torchvision.models import get_model_weights

    _check_known(architecture)
    known = get_model_weights(architecture)
    if isinstance(weights, known):
        return weights
    name = str(weights).rpartition(".")[2]
    if name not in known.__members__:
        raise ModelNotFoundError(
            f"torchvision has no weights {name!r} for {architecture}; expected one of: {', '.join(known.__members__)}."
        )
    return known[name]


def torchvision_state(architecture: str, weights: Any) -> dict[str, Tensor]:
    """Return torchvision's state dict, with the classifier, from its cache (TORCH_HOME); download it if needed.

    Args:
        architecture: the architecture's name, for the message.
        weights: a member of torchvision's enumeration.

    Raises:
        ModelNotFoundError: the weights are not in the cache and cannot be downloaded.
    """
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise ModelNotFoundError(
            f"torchvision's {weights.name} for {architecture} is not in its cache and cannot be downloaded from "
            f"{weights.url}: {error}."
        ) from error
    return state


def _check_known(architecture: str) -> None:
    from torchvision.models import list_models

    if architecture in ("wide_resnet50_2", "wide_resnet101_2") or architecture.startswith("resnext"):
        raise UnknownArchitectureError(f"torchvision's {architecture} is no plain ResNet. {SUPPORTED}")
    find_architecture(architecture)
    if architecture not in list_models():
        raise UnknownArchitectureError(f"torchvision has no {architecture}; timm may: from_timm({architecture!r}).")


def _random(architecture: str) -> dict[str, Tensor]:
    from torchvision.models import get_model

    _check_known(architecture)
    return dict(get_model(architecture, weights=None).state_dict())


def _preprocessing(weights: Any) -> Preprocessing:
    transform = weights.transforms()
    values = {
        "resize": transform.resize_size[0],
        "crop": transform.crop_size[0],
        "interpolation": transform.interpolation.value,
        "antialias": transform.antialias is not False,
        "mean": tuple(transform.mean),
        "std": tuple(transform.std),
    }
    return validate(Preprocessing, values, source=f"The preprocessing of torchvision/{weights.name}")


def _pooled(model: Any, images: Tensor) -> Tensor:
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = layer(x)
    return torch.as_tensor(x).mean(dim=(2, 3))
