"""Construction of an encoder from tensors in its own names, with a report of the tensors used and dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED, peculiarity
from sslhsic_transfer.hub.fingerprint import probe_image
from sslhsic_transfer.hub.tensor_checks import COUNTER, check_fit, refuse_non_finite
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.modes import plain_copy
from sslhsic_transfer.models.preprocessing import Preprocessing

_NAMES_SHOWN = 6


@dataclass(frozen=True)
class ConversionReport:
    """Origin of an encoder's weights, tensor by tensor.

    Attributes:
        source: the file, or the model's name.
        layout: how the source names its tensors: "haiku (SSL-HSIC)", "moco (encoder_q.), torchvision's names".
        config: the network, inferred from the shapes.
        used: the source's names of the tensors that the encoder now has.
        dropped: reason -> the source's names of the tensors that were left out.
        filled: the encoder's names of counters that the source lacks; they are zero.
        notes: facts for the user that no tensor shows.
    """

    source: str
    layout: str
    config: EncoderConfig
    used: tuple[str, ...]
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return plain data about the conversion for the metadata of the saved encoder."""
        dropped = {
            reason: {"tensors": len(names), "names": list(names[:_NAMES_SHOWN])}
            for reason, names in self.dropped.items()
        }
        return {
            "source": self.source,
            "layout": self.layout,
            "tensors_used": len(self.used),
            "counters_filled": len(self.filled),
            "dropped": dropped,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        config = self.config
        network = f"{config.architecture}, stem {config.stem}, padding {config.padding}, width {config.width}"
        lines = [
            f"Source:   {self.source}",
            f"Layout:   {self.layout}",
            f"Network:  {network}",
            f"Used:     {len(self.used)} tensors",
        ]
        if self.filled:
            lines.append(f"Filled:   {len(self.filled)} counters of batches, which the source lacks, are 0")
        for reason, names in self.dropped.items():
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            lines.append(f"Dropped:  {len(names)}, {reason}: {', '.join(names[:_NAMES_SHOWN])}{more}")
        return "\n".join([*lines, *(f"Note:     {note}" for note in self.notes)])


E = TypeVar("E", bound=EncoderBase)


class Conversion(NamedTuple, Generic[E]):
    """A converted encoder and its report."""

    encoder: E
    report: ConversionReport


_LARGEST_DIFFERENCE = 1e-4


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
