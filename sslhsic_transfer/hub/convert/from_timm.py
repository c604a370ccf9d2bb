"""Conversion of timm's ResNets, ConvNeXts and Vision Transformers, with their weights, to encoders."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer._config import shorten, validate
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert.conversion import Conversion, ConversionReport, E, build, check_same_features
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED
from sslhsic_transfer.hub.convert.state_dict import read_state
from sslhsic_transfer.hub.fingerprint import probe_image
from sslhsic_transfer.models.config import EncoderConfig, family_of
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.preprocessing import Preprocessing

_FACTS = ("hf_hub_id", "architecture", "tag", "license", "url", "origin_url", "paper_ids")


def read_timm(kind: type[E], model: str | nn.Module, *, pretrained: bool = True) -> Conversion[E]:
    """Convert a model of timm to an encoder of some class; `libraries.convert_timm` tells all else."""
    timm = optional_import("timm", extra="timm", purpose="from_timm")
    network: Any = _create(timm, model, pretrained) if isinstance(model, str) else model
    cfg = dict(getattr(network, "pretrained_cfg", None) or {})
    source = f"timm/{model if isinstance(model, str) else cfg.get('architecture', type(model).__name__)}"
    random = isinstance(model, str) and not pretrained
    if not family_of(str(cfg.get("architecture"))).resnet_options:
        tensors, report = _under_its_own_names(network, cfg["architecture"], source)
    elif isinstance(network, timm.models.resnet.ResNet):
        tensors, report = read_state(network.state_dict(), source)
    else:
        raise UnknownArchitectureError(
            f"{source} is a {type(network).__name__}; expected timm's ResNet, ConvNeXt or Vision Transformer. "
            f"{SUPPORTED}"
        )
    if random:
        report = replace(report, source=f"{source} (random weights)")
    facts = {} if random else {key: cfg[key] for key in _FACTS if cfg.get(key)}
    conversion = build(kind, tensors, report, _preprocessing(cfg, source), {"timm": facts} if facts else {})
    sides = getattr(getattr(network, "patch_embed", None), "img_size", None) or probe_image().shape[-2:]
    images = F.interpolate(probe_image(), size=tuple(sides), mode="bilinear")
    check_same_features(conversion.encoder, network, _pooled, source, images)
    return conversion


def _under_its_own_names(
    network: nn.Module, architecture: str, source: str
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Return the tensors of a network whose encoder uses the same names, without the classifier, and a report."""
    config = validate(EncoderConfig, {"architecture": architecture}, source=source)
    with torch.device("meta"):
        own = EncoderBase(config).state_dict().keys()
    state = network.state_dict()
    classifier = tuple(name for name in state if name not in own and name.split(".")[0] in ("head", "head_dist"))
    tensors = {name: tensor for name, tensor in state.items() if name not in classifier}
    dropped = {"classifier or projection head": classifier} if classifier else {}
    return tensors, ConversionReport(source, "timm's names", config, used=tuple(tensors), dropped=dropped)


def _pooled(network: Any, images: Tensor) -> Any:
    return network.forward_head(network.forward_features(images), pre_logits=True)


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
    """Return the evaluation preprocessing of ``timm.data.create_transform``: resize by ``crop_pct``, center crop."""
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
            f"The preprocessing of {source} cannot be used: {shorten(facts)} ({type(error).__name__})."
        ) from error
    return validate(Preprocessing, values, source=f"The preprocessing of {source}")
