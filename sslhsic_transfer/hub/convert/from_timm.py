"""Timm's ResNets, with its weights, as encoders."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from sslhsic_transfer._config import shortened, validated
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert.build import build, check_same_features
from sslhsic_transfer.hub.convert.peculiar import SUPPORTED
from sslhsic_transfer.hub.convert.report import Conversion
from sslhsic_transfer.hub.convert.torch_state import read_state
from sslhsic_transfer.models.preprocessing import Preprocessing

_FACTS = ("hf_hub_id", "architecture", "tag", "license", "url", "origin_url", "paper_ids")


def convert_timm(model: str | nn.Module, *, pretrained: bool = True) -> Conversion:
    """Convert a ResNet of timm.

    The encoder's features of a fixed input are compared with timm's, so that a variant with the same names and shapes
    but other strides, padding, activations or blurs is refused.

    Args:
        model: what ``timm.create_model`` takes, such as ``"resnet50.a1_in1k"`` or ``"hf_hub:org/name"``; or a model of
            timm that is there already.
        pretrained: for a name: whether to load its weights, which timm downloads when its cache has none.

    Returns:
        The encoder, whose preprocessing, licence and source are those of timm's ``pretrained_cfg``, and the report.

    Raises:
        MissingDependencyError: timm is not installed.
        ModelNotFoundError: timm has no such model or weights, or they cannot be downloaded.
        UnknownArchitectureError: not a ResNet.
        WeightsError: a ResNet other than v1.5 with the standard stem.
        ConfigError: its preprocessing cannot be expressed.
    """
    timm = optional_import("timm", extra="timm", purpose="from_timm")
    network: Any = _create(timm, model, pretrained) if isinstance(model, str) else model
    cfg = dict(getattr(network, "pretrained_cfg", None) or {})
    source = f"timm/{model if isinstance(model, str) else cfg.get('architecture', type(model).__name__)}"
    if not isinstance(network, timm.models.resnet.ResNet):
        raise UnknownArchitectureError(f"{source} is a {type(network).__name__}, not timm's ResNet. {SUPPORTED}")
    random = isinstance(model, str) and not pretrained
    tensors, report = read_state(network.state_dict(), source)
    if random:
        report = replace(report, source=f"{source} (random weights)")
    facts = {} if random else {key: cfg[key] for key in _FACTS if cfg.get(key)}
    conversion = build(tensors, report, _preprocessing(cfg, source), {"timm": facts} if facts else {})
    check_same_features(conversion.encoder, network, type(network).forward_features, source)
    return conversion


def _create(timm: Any, name: str, pretrained: bool) -> Any:
    if ":" not in name and not timm.is_model(name.split(".")[0]):
        near = ", ".join(timm.list_models("resnet[0-9]*")[:12])
        raise ModelNotFoundError(f"timm {timm.__version__} has no model {name!r}; it has, for example: {near}.")
    try:
        return timm.create_model(name, pretrained=pretrained)
    except (OSError, RuntimeError) as error:
        raise ModelNotFoundError(
            f"timm cannot load {name!r}: {error}. Without a network, the weights must be in the cache of the Hugging "
            "Face Hub (HF_HOME)."
        ) from error


def _preprocessing(cfg: Mapping[str, Any], source: str) -> Preprocessing:
    """As ``timm.data.create_transform`` for evaluation: resize by ``crop_pct``, crop the centre."""
    if not cfg:
        return Preprocessing()
    if cfg.get("crop_mode", "center") != "center":
        raise WeightsError(f"{source} wants pictures in crop_mode={cfg['crop_mode']!r}; only 'center' can be kept.")
    try:
        size = cfg["input_size"][-1]
        values = {
            "resize": math.floor(size / cfg["crop_pct"]),
            "crop": size,
            "interpolation": cfg["interpolation"],
            "mean": tuple(cfg["mean"]),
            "std": tuple(cfg["std"]),
        }
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        facts = {name: cfg.get(name) for name in ("input_size", "crop_pct", "interpolation", "mean", "std")}
        raise ConfigError(
            f"The preprocessing of {source} cannot be used: {shortened(facts)} ({type(error).__name__})."
        ) from error
    return validated(Preprocessing, values, source=f"The preprocessing of {source}")
