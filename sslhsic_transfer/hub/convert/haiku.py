"""Translation of haiku's ResNet parameters and state to torchvision's names. Source: the code of BYOL and SSL-HSIC.

A convolution is stored as (k, k, in, out), a normalization as scale and offset of shape (1, 1, 1, C), and its
statistics as debiased averages. `SAME` padding belongs to the network, not to the weights: use
``EncoderConfig(padding="same")``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.conversion import ConversionReport
from sslhsic_transfer.hub.convert.memory_limits import refuse_more_than_the_file
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED, infer_config
from sslhsic_transfer.hub.tensor_checks import COUNTER, summarize_names

_LAYER = re.compile(
    r"(?:initial_(?P<first>conv|batchnorm)"
    r"|block_group_(?P<group>[0-3])/~/block_(?P<block>\d+)/~/"
    r"(?:(?P<kind>conv|batchnorm)_(?P<number>[0-2])|shortcut_(?P<shortcut>conv|batchnorm)))/(?P<array>.+)"
)
_CONVOLUTION = {"w": "weight"}
_NORMALISATION = {
    "scale": "weight",
    "offset": "bias",
    "~/mean_ema/average": "running_mean",
    "~/var_ema/average": "running_var",
    "~/mean_ema/counter": COUNTER,
}
# Patterns of the remaining arrays that are known and not needed, with the reason.
_DROPPED = {
    r"(projector|predictor|classifier)/.*|.*/~/logits/[wb]": "projector, predictor or classifier",
    r".*_ema/hidden|.*/var_ema/counter": "averages before debiasing, and their second counters",
}


def read_haiku(
    parameters: Mapping[str, Any], state: Mapping[str, Any], source: str, layout: str, *, size: int
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Translate the encoder in haiku's nested dictionaries.

    Args:
        parameters: module -> name -> array, as ``hk.transform_with_state`` returns them.
        state: module -> name -> array: the statistics of the normalizations.
        source: the file, for messages.
        layout: the layout's name in the report.
        size: the file's size in bytes.

    Returns:
        Torchvision's names -> tensors, and a report that lists every array.

    Raises:
        WeightsError: there is no ResNet, or an array is missing, unknown or of an unexpected shape.
        UnknownArchitectureError: the ResNet has an unknown depth or width.
    """
    root = _find_root(parameters, source)
    tensors: dict[str, Tensor] = {}
    used_bytes = 0
    used: list[str] = []
    unknown: list[str] = []
    dropped: dict[str, list[str]] = {}
    for key, value in (*_arrays(parameters, source), *_arrays(state, source)):
        name = torchvision_name(key, root)
        reason = next((reason for pattern, reason in _DROPPED.items() if re.fullmatch(pattern, key)), None)
        if name is not None:
            used_bytes += getattr(value, "nbytes", 0)
            refuse_more_than_the_file(used_bytes, size, source)
            tensors[name] = _tensor(value, name, f"{source}: {key}")
            used.append(key)
        elif reason is not None:
            dropped.setdefault(reason, []).append(key)
        else:
            unknown.append(key)
    if unknown:
        raise WeightsError(
            f"{source}: not everything is accounted for:\n"
            + "\n".join(summarize_names("arrays of unknown use", unknown))
            + f"\n{SUPPORTED}"
        )
    report = ConversionReport(
        source=source,
        layout=layout,
        config=infer_config({name: tuple(t.shape) for name, t in tensors.items()}, source, padding="same"),
        used=tuple(used),
        dropped={reason: tuple(names) for reason, names in dropped.items()},
    )
    return tensors, report


def torchvision_name(key: str, root: str) -> str | None:
    """Return torchvision's name of an encoder array; None for any other array.

    >>> torchvision_name("res_net50/~/block_group_0/~/block_1/~/batchnorm_2/scale", "res_net50")
    'layer1.1.bn3.weight'
    """
    start = f"{root}/~/"
    match = _LAYER.fullmatch(key.removeprefix(start)) if key.startswith(start) else None
    if match is None:
        return None
    convolution = "conv" in (match["first"], match["kind"], match["shortcut"])
    array = (_CONVOLUTION if convolution else _NORMALISATION).get(match["array"])
    if array is None:
        return None
    if match["first"]:
        return f"{'conv1' if convolution else 'bn1'}.{array}"
    place = f"layer{int(match['group']) + 1}.{int(match['block'])}"
    if match["shortcut"]:
        return f"{place}.downsample.{0 if convolution else 1}.{array}"
    return f"{place}.{'conv' if convolution else 'bn'}{int(match['number']) + 1}.{array}"


def _find_root(parameters: Mapping[str, Any], source: str) -> str:
    suffix = "/~/initial_conv"
    roots = [name.removesuffix(suffix) for name in parameters if isinstance(name, str) and name.endswith(suffix)]
    if len(roots) != 1:
        raise WeightsError(
            f"{source} holds {len(roots)} ResNets in haiku's names; expected one, with a module such as "
            f"'res_net50/~/initial_conv'. Its modules: {', '.join(str(name)[:60] for name in list(parameters)[:5])}."
        )
    if f"{roots[0]}/~/initial_batchnorm" not in parameters:
        raise WeightsError(f"{source} holds a ResNet v2, with normalization before its convolutions. {SUPPORTED}")
    return roots[0]


def _arrays(nested: Mapping[str, Any], source: str) -> Iterator[tuple[str, Any]]:
    for module, arrays in nested.items():
        if not isinstance(module, str) or not isinstance(arrays, Mapping):
            raise WeightsError(f"{source}: expected module → name → array; {str(module)[:60]!r} holds none.")
        for name, value in arrays.items():
            yield f"{module}/{name}", value


def _tensor(value: Any, name: str, source: str) -> Tensor:
    if not isinstance(value, np.ndarray) or not value.size:
        raise WeightsError(f"{source} is a {type(value).__name__}; expected an array of numbers.")
    if name.endswith(COUNTER):
        count = value.reshape(-1)[0]
        if not abs(count) < 2**53 or count != int(count):
            raise WeightsError(f"{source} is {count}; expected a whole number.")
        return torch.tensor(int(count))
    if value.dtype.kind != "f":
        raise WeightsError(f"{source} is of {value.dtype}; expected floating numbers.")
    tensor = torch.from_numpy(value.astype(np.float32))  # a copy, in native byte order
    if re.search(r"(conv\d|downsample\.0)\.weight$", name):
        if value.ndim != 4:
            raise WeightsError(f"{source} has shape {value.shape}; expected a convolution, (k, k, in, out).")
        return tensor.permute(3, 2, 0, 1)
    if value.ndim == 0 or value.size != value.shape[-1]:
        raise WeightsError(f"{source} has shape {value.shape}; expected one number a channel, (1, 1, 1, C).")
    return tensor.reshape(-1)
