"""From tensors in torchvision's names to an encoder: which network they are of, and whether they fit it exactly."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from sslhsic_transfer.errors import UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert.kinds import COUNTER
from sslhsic_transfer.hub.convert.peculiar import SUPPORTED, peculiarity
from sslhsic_transfer.hub.convert.report import Conversion, ConversionReport
from sslhsic_transfer.hub.fingerprint import probe_image
from sslhsic_transfer.hub.state import check_fit, refuse_non_finite
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.modes import plain_copy
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.models.resnet_shapes import ARCHITECTURES

_STEMS: dict[int, Literal["imagenet", "small"]] = {7: "imagenet", 3: "small"}
_WIDTHS: dict[int, Literal[1, 2, 4]] = {64: 1, 128: 2, 256: 4}
_LARGEST_DIFFERENCE = 1e-4


def infer_config(
    shapes: Mapping[str, tuple[int, ...]], source: str, *, padding: Literal["torch", "same"] = "torch"
) -> EncoderConfig:
    """Read the architecture, the stem and the width off the shapes of a network in torchvision's names.

    Args:
        shapes: name -> shape.
        source: where they come from, for the message.
        padding: the convention of padding, which no shape tells.

    Raises:
        UnknownArchitectureError: no network of the table has such a stem or such numbers of blocks.
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
    state: Mapping[str, Tensor],
    report: ConversionReport,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Conversion:
    """Make the encoder that ``report.config`` names of tensors in torchvision's names.

    Args:
        state: the tensors; floating ones become float32, missing counters of batches zero.
        report: what was read; what is filled here is added to it.
        preprocessing: how pictures become input.
        metadata: facts about the weights, kept beside the report's summary.

    Returns:
        The encoder on the CPU, in eval mode, and the report.

    Raises:
        WeightsError: a tensor is missing, left over, of another shape or not finite.
    """
    with torch.device("meta"):
        encoder = Encoder(report.config, preprocessing)
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
    encoder: Encoder, theirs: torch.nn.Module, pooled: Any, source: str, images: Tensor | None = None
) -> None:
    """Compare the converted encoder with the network that its weights come from, on a fixed input.

    Names and shapes do not tell strides, padding, activations or blurs; this does.

    Args:
        encoder: on the CPU, in float32.
        theirs: on any device, in any precision.
        pooled: (network, images) -> (B, D), its embeddings.
        source: for the message.
        images: (B, 3, H, W) to compare on; None: `probe_image`.

    Raises:
        WeightsError: they differ by more than 1e-4 of the features' norm.
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
