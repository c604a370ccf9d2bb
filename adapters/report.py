"""What became of each parameter when an encoder's weights went into a network of another library."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.state import some
from sslhsic_transfer.models.encoder import Encoder


@dataclass(frozen=True)
class LoadReport:
    """Every tensor of a load, by name.

    Attributes:
        source: what the weights are called.
        sha256: hash of the file that they were loaded from; None where they were not.
        matched: the network's names that were filled from a tensor of the same name.
        renamed: the network's names -> the encoder's, where the two differ.
        missing: names of the network that no tensor of the encoder fills.
        unexpected: names of the encoder that have no place in the network.
    """

    source: str
    sha256: str | None = None
    matched: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor found its place."""
        return not self.missing and not self.unexpected

    def __str__(self) -> str:
        digest = f", SHA-256 {self.sha256[:12]}…" if self.sha256 else ""
        return (
            f"{self.source}{digest}: {len(self.matched)} tensors under their own names, {len(self.renamed)} renamed, "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )


@torch.no_grad()
def load_encoder(network: nn.Module, encoder: Encoder, renamed: Mapping[str, str] | None = None) -> LoadReport:
    """Copy an encoder's weights and statistics into a network, every one of them.

    Args:
        network: what takes them; its tensors keep their dtype and device.
        encoder: what gives them.
        renamed: the encoder's names -> the network's, where they differ.

    Returns:
        What went where.

    Raises:
        WeightsError: a tensor has no place, a place no tensor, or the two differ in shape. Nothing was copied then.
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
                    *some("missing", report.missing),
                    *some("unexpected", report.unexpected),
                    *some("of another shape", shapes),
                ]
            )
        )
    for name, place in places.items():
        targets[place].copy_(state[name])
    return report
