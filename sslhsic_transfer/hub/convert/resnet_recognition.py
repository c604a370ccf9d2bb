"""Recognition of a ResNet v1.5 from names and shapes: its configuration, or the reason why it is another network."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sslhsic_transfer.errors import UnknownArchitectureError
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.resnet_shapes import ARCHITECTURES

SUPPORTED = "Only ResNets v1.5 can be converted: torchvision's blocks, BatchNorm, all channels times 1, 2 or 4."
_STEMS: dict[int, Literal["imagenet", "small"]] = {7: "imagenet", 3: "small"}
_WIDTHS: dict[int, Literal[1, 2, 4]] = {64: 1, 128: 2, 256: 4}


def infer_config(
    shapes: Mapping[str, tuple[int, ...]], source: str, *, padding: Literal["torch", "same"] = "torch"
) -> EncoderConfig:
    """Infer the architecture, the stem and the width from the shapes of a network in torchvision's names.

    Args:
        shapes: name -> shape.
        source: where the shapes come from, for the message.
        padding: the padding convention, which shapes do not show.

    Raises:
        UnknownArchitectureError: no known network has such a stem or such numbers of blocks.
    """
    stem = shapes.get("conv1.weight", ())
    if len(stem) != 4 or stem[0] not in _WIDTHS or stem[1] != 3 or stem[2] != stem[3] or stem[2] not in _STEMS:
        raise UnknownArchitectureError(
            f"{source} has a first convolution of shape {stem or 'unknown'}; expected (C, 3, 7, 7) or (C, 3, 3, 3) "
            f"with C = 64, 128 or 256. {SUPPORTED}"
        )
    block = "Bottleneck" if "layer1.0.conv3.weight" in shapes else "BasicBlock"
    pattern = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")
    found = [match.groups() for match in map(pattern.fullmatch, shapes) if match]
    blocks = tuple(sum(stage == str(number) for stage, _ in found) for number in range(1, 5))
    for name, architecture in ARCHITECTURES.items():
        if (architecture.block, architecture.blocks) == (block, blocks):
            return EncoderConfig(architecture=name, stem=_STEMS[stem[2]], padding=padding, width=_WIDTHS[stem[0]])
    known = ", ".join(f"{name} {row.block} {row.blocks}" for name, row in ARCHITECTURES.items())
    raise UnknownArchitectureError(f"{source} has {block} blocks {blocks}; expected one of: {known}.")


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
