"""Loading of an encoder's weights into networks of other libraries, with a report on every tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.hub.tensor_checks import summarize_names


@dataclass(frozen=True)
class LoadReport:
    """Report on every tensor of a load, by name.

    Attributes:
        source: name of the weights.
        sha256: hash of the file that they were loaded from; None if there was no file.
        matched: the network's tensors filled by a tensor of the same name.
        renamed: the encoder's names of the network's tensors where the two differ, by the network's name.
        missing: names of the network's tensors that no tensor of the encoder fills.
        unexpected: names of the encoder's tensors that have no place in the network.
    """

    source: str
    sha256: str | None = None
    matched: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if every tensor found its place."""
        return not self.missing and not self.unexpected

    def __str__(self) -> str:
        digest = f", SHA-256 {self.sha256[:12]}…" if self.sha256 else ""
        return (
            f"{self.source}{digest}: {len(self.matched)} tensors under their own names, {len(self.renamed)} renamed, "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )


@torch.no_grad()
def load_encoder(network: nn.Module, encoder: Encoder, renamed: Mapping[str, str] | None = None) -> LoadReport:
    """Copy all of an encoder's weights and statistics into a network.

    Args:
        network: the network to fill; its tensors keep their dtype and device.
        encoder: the encoder to copy from.
        renamed: the network's names of tensors where they differ, by the encoder's name.

    Returns:
        A report on every tensor.

    Raises:
        WeightsError: a tensor has no place, a place no tensor, or the two differ in shape. Nothing is copied then.
    """
    targets = dict(network.state_dict())
    places = {name: (renamed or {}).get(name, name) for name in encoder.state_dict()}
    report = LoadReport(
        source=encoder.name_or_path or encoder.config.architecture,
        sha256=encoder.weights_sha256,
        matched=tuple(name for name, place in places.items() if place == name and place in targets),
        renamed={place: name for name, place in places.items() if place != name and place in targets},
        missing=tuple(sorted(targets.keys() - set(places.values()))),
        unexpected=tuple(name for name, place in places.items() if place not in targets),
    )
    state = encoder.state_dict()
    shapes = [
        f"{place}: {tuple(state[name].shape)} into {tuple(targets[place].shape)}"
        for name, place in places.items()
        if place in targets and state[name].shape != targets[place].shape
    ]
    if shapes or not report.complete:
        raise WeightsError(
            f"The weights do not fit the network. {report}.\n"
            + "\n".join(
                [
                    *summarize_names("missing", report.missing),
                    *summarize_names("unexpected", report.unexpected),
                    *summarize_names("of another shape", shapes),
                ]
            )
        )
    for name, place in places.items():
        targets[place].copy_(state[name])
    return report
