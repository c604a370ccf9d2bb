"""Report of a conversion: the layout, the tensors used, and the tensors dropped with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import EncoderBase

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
