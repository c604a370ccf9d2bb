"""Parameters and state of haiku's ResNet in torchvision's names; facts: BYOL's and SSL-HSIC's released code.

A convolution is stored as (k, k, in, out), a normalisation as scale and offset of shape (1, 1, 1, C), its statistics as
debiased averages; `SAME` padding is the network's, not the weights', and comes with ``EncoderConfig(padding="same")``.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.build import COUNTER, infer_config
from sslhsic_transfer.hub.convert.peculiar import SUPPORTED
from sslhsic_transfer.hub.convert.report import ConversionReport
from sslhsic_transfer.hub.state import some

_STATISTICS = {"mean_ema": "running_mean", "var_ema": "running_var"}
_HEADS = re.compile(r"(projector|predictor|classifier)(/.*)?|.*/~/logits")


def read_haiku(
    parameters: Mapping[str, Any], state: Mapping[str, Any], source: str, layout: str
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Translate the encoder of haiku's nested dictionaries.

    Args:
        parameters: module -> name -> array, as ``hk.transform_with_state`` gives them.
        state: module -> name -> array: the statistics of normalisation.
        source: the file, for messages.
        layout: what to call it in the report.

    Returns:
        Torchvision's names -> tensors, and the account of every array.

    Raises:
        WeightsError: there is no ResNet, or an array is missing, unknown or of an unexpected shape.
        UnknownArchitectureError: a ResNet of unknown depth or width.
    """
    root = _find_root(parameters, source)
    tensors: dict[str, Tensor] = {}
    used: list[str] = []
    heads: list[str] = []
    undebiased: list[str] = []
    unknown: list[str] = []
    for module, arrays in _modules(parameters, source):
        layer = torchvision_layer(module, root)
        for name, array in arrays.items():
            key = f"{module}/{name}"
            if layer is None:
                (heads if _HEADS.fullmatch(module) else unknown).append(key)
            elif name in ("w", "scale", "offset"):
                convolution = name == "w"
                tensors[f"{layer}.{'bias' if name == 'offset' else 'weight'}"] = (
                    _convolution(array, key, source) if convolution else _channels(array, key, source)
                )
                used.append(key)
            else:
                unknown.append(key)
    for module, arrays in _modules(state, source):
        norm, _, statistic = module.rpartition("/~/")
        layer = torchvision_layer(norm, root)
        for name, array in arrays.items():
            key = f"{module}/{name}"
            if layer is None or statistic not in _STATISTICS:
                (heads if _HEADS.fullmatch(norm) else unknown).append(key)
            elif name == "average":
                tensors[f"{layer}.{_STATISTICS[statistic]}"] = _channels(array, key, source)
                used.append(key)
            elif name == "counter":
                tensors[f"{layer}.{COUNTER}"] = torch.tensor(int(_array(array, key, source).reshape(-1)[0]))
                used.append(key)
            elif name == "hidden":
                undebiased.append(key)
            else:
                unknown.append(key)
    if unknown:
        raise WeightsError(
            f"{source}: not everything is accounted for:\n"
            + "\n".join(some("arrays of unknown use", unknown))
            + f"\n{SUPPORTED}"
        )
    dropped = {"projector, predictor or classifier": tuple(heads), "averages before debiasing": tuple(undebiased)}
    report = ConversionReport(
        source=source,
        layout=layout,
        config=infer_config({name: tuple(t.shape) for name, t in tensors.items()}, source, padding="same"),
        used=tuple(used),
        dropped={reason: names for reason, names in dropped.items() if names},
    )
    return tensors, report


def torchvision_layer(module: str, root: str) -> str | None:
    """Torchvision's name of a layer, such as ``"layer1.0.bn2"``; None for what is no layer of the encoder."""
    inner = module.removeprefix(f"{root}/~/")
    if inner == module:
        return None
    if inner in ("initial_conv", "initial_batchnorm"):
        return "conv1" if inner == "initial_conv" else "bn1"
    match = re.fullmatch(
        r"block_group_([0-3])/~/block_(\d+)/~/(?:(conv|batchnorm)_([0-2])|shortcut_(conv|batchnorm))", inner
    )
    if match is None:
        return None
    group, block, kind, number, shortcut = match.groups()
    place = f"layer{int(group) + 1}.{int(block)}"
    if shortcut:
        return f"{place}.downsample.{0 if shortcut == 'conv' else 1}"
    return f"{place}.{'conv' if kind == 'conv' else 'bn'}{int(number) + 1}"


def _find_root(parameters: Mapping[str, Any], source: str) -> str:
    suffix = "/~/initial_conv"
    roots = [name.removesuffix(suffix) for name in parameters if isinstance(name, str) and name.endswith(suffix)]
    if len(roots) != 1:
        raise WeightsError(
            f"{source} holds {len(roots)} ResNets in haiku's names; expected one, with a module such as "
            f"'res_net50/~/initial_conv'. Its modules: {', '.join(str(name)[:60] for name in list(parameters)[:5])}."
        )
    if f"{roots[0]}/~/initial_batchnorm" not in parameters:
        raise WeightsError(f"{source} holds a ResNet v2, with normalisation before its convolutions. {SUPPORTED}")
    return roots[0]


def _modules(nested: Mapping[str, Any], source: str) -> list[tuple[str, Mapping[str, Any]]]:
    for module, arrays in nested.items():
        if not isinstance(module, str) or not isinstance(arrays, Mapping):
            raise WeightsError(f"{source}: expected module → name → array; {str(module)[:60]!r} holds none.")
    return list(nested.items())


def _array(value: Any, key: str, source: str) -> np.ndarray[Any, Any]:
    if not isinstance(value, np.ndarray) or not value.size:
        raise WeightsError(f"{source}: {key} is a {type(value).__name__}; expected an array of numbers.")
    return value


def _convolution(value: Any, key: str, source: str) -> Tensor:
    array = _array(value, key, source)
    if array.ndim != 4:
        raise WeightsError(f"{source}: {key} has shape {array.shape}; expected a convolution, (k, k, in, out).")
    return _tensor(array).permute(3, 2, 0, 1)


def _channels(value: Any, key: str, source: str) -> Tensor:
    array = _array(value, key, source)
    if array.size != array.shape[-1]:
        raise WeightsError(f"{source}: {key} has shape {array.shape}; expected one number a channel, (1, 1, 1, C).")
    return _tensor(array).reshape(-1)


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))  # a copy, in the machine's byte order
