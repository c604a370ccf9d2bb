"""Reasons why a ResNet is not v1.5, recognized from names and shapes for the message of a refusal."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

SUPPORTED = "Only ResNets v1.5 can be converted: torchvision's blocks, BatchNorm, all channels times 1, 2 or 4."


@dataclass(frozen=True)
class Peculiarity:
    """One way in which a network can differ from ResNet v1.5.

    Attributes:
        what: the difference, with its common names.
        found: tells whether tensors, in torchvision's names, show it.
    """

    what: str
    found: Callable[[Mapping[str, Tensor]], bool]


def _named(pattern: str) -> Callable[[Mapping[str, Tensor]], bool]:
    return lambda state: any(re.fullmatch(pattern, name) for name in state)


def _channels(state: Mapping[str, Tensor], name: str, dimension: int) -> int | None:
    tensor = state.get(name)
    return tensor.shape[dimension] if tensor is not None and tensor.ndim == 4 else None


def _grouped(state: Mapping[str, Tensor]) -> bool:
    name = "layer1.0.conv2.weight"
    return _channels(state, name, 0) != _channels(state, name, 1)


def _wide_inside(state: Mapping[str, Tensor]) -> bool:
    first = _channels(state, "layer1.0.conv1.weight", 0)
    return first is not None and first != _channels(state, "conv1.weight", 0)


def _first_shortcut(state: Mapping[str, Tensor]) -> bool:
    return "layer1.0.downsample.0.weight" in state and "layer1.0.conv3.weight" not in state


PECULIARITIES = (
    Peculiarity("a deep stem of several convolutions (ResNet-C, ResNet-D)", _named(r"conv1\.\d+\..*|stem\.\d+\..*")),
    Peculiarity("attention in its blocks (SE, ECA, CBAM, SK)", _named(r"layer\d\.\d+\.(se|eca|attn|conv2\.conv)\b.*")),
    Peculiarity("average pooling in its shortcuts (ResNet-D)", _named(r"layer\d\.\d+\.downsample\.2\..*")),
    Peculiarity("a convolution in its first shortcut, as BYOL's ResNet-18 and 34 have", _first_shortcut),
    Peculiarity("grouped convolutions (ResNeXt)", _grouped),
    Peculiarity("only its 3×3 convolutions widened (wide_resnet50_2)", _wide_inside),
)


def peculiarity(state: Mapping[str, Tensor]) -> str:
    """Return why a network cannot be converted, if its tensors show it, and which networks can."""
    found = [row.what for row in PECULIARITIES if row.found(state)]
    return f"The network has {found[0]}. {SUPPORTED}" if found else SUPPORTED
