"""Construction of an encoder from tensors in torchvision's names: find the network and check that they fit it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from sslhsic_transfer.errors import UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert.kinds import COUNTER
from sslhsic_transfer.hub.convert.report import Conversion, ConversionReport, E
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED, peculiarity
from sslhsic_transfer.hub.fingerprint import probe_image
from sslhsic_transfer.hub.tensor_checks import check_fit, refuse_non_finite
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.modes import plain_copy
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.models.resnet_shapes import ARCHITECTURES

_STEMS: dict[int, Literal["imagenet", "small"]] = {7: "imagenet", 3: "small"}
_WIDTHS: dict[int, Literal[1, 2, 4]] = {64: 1, 128: 2, 256: 4}
_LARGEST_DIFFERENCE = 1e-4


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


def build(
    kind: type[E],
    state: Mapping[str, Tensor],
    report: ConversionReport,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Conversion[E]:
    """Build the encoder that ``report.config`` describes from tensors in torchvision's names.

    Args:
        kind: the class of the encoder to make.
        state: the tensors. Floating tensors become float32; missing batch counters become zero.
        report: the report of the reading; a copy with the filled counters is returned.
        preprocessing: how images become input.
        metadata: facts about the weights, stored next to the report's summary.

    Returns:
        The encoder on the CPU, in eval mode, and the report.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape or not finite.
    """
    with torch.device("meta"):
        encoder = kind(report.config, preprocessing)
    state = {name: _own_copy(name, tensor) for name, tensor in state.items()}
    filled = [name for name in encoder.state_dict() if name.rpartition(".")[2] == COUNTER and name not in state]
    state |= {name: torch.zeros((), dtype=torch.int64) for name in filled}
    check_fit(encoder, state, report.source, called=str(report.config), advice=peculiarity(state))
    refuse_non_finite(state, report.source)
    encoder.load_state_dict(state, strict=True, assign=True)
    report = replace(report, filled=tuple(filled))
    encoder.metadata = {"conversion": report.summary(), **(metadata or {})}
    return Conversion(encoder.requires_grad_(True).eval(), report)


@torch.no_grad()
def check_same_features(
    encoder: EncoderBase, theirs: torch.nn.Module, pooled: Any, source: str, images: Tensor | None = None
) -> None:
    """Compare the converted encoder with the network that its weights come from, on a fixed input.

    Names and shapes do not show strides, padding, activations or blur filters; features do.

    Args:
        encoder: the converted encoder, on the CPU in float32.
        theirs: the original network, on any device, in any precision.
        pooled: (network, images) -> (B, D), the original's embeddings.
        source: where the network comes from, for the message.
        images: (B, 3, H, W) images to compare on; None uses `probe_image`.

    Raises:
        WeightsError: the features differ by more than 1e-4 of their norm.
    """
    images = probe_image() if images is None else images
    expected = pooled(plain_copy(theirs), images)
    difference = ((encoder(images) - expected).norm() / expected.norm().clamp_min(1e-12)).item()
    if not difference <= _LARGEST_DIFFERENCE:
        raise WeightsError(
            f"{source}: the network has the names and shapes of {encoder.config.architecture}, but its features of a "
            f"fixed input differ by {difference:.1%}: other strides, padding, activations or blurs. {SUPPORTED}"
        )


def _own_copy(name: str, tensor: Tensor) -> Tensor:
    tensor = tensor.detach().to(device="cpu", copy=True)
    if name.rpartition(".")[2] == COUNTER:
        return tensor.to(torch.int64)
    return tensor.float().contiguous() if tensor.is_floating_point() else tensor.contiguous()
