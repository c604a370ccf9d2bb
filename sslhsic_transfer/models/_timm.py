"""The common parts of the families that timm defines."""

import difflib
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import UnknownArchitectureError
from sslhsic_transfer.models.backbone import Backbone, OutputStride, share_members
from sslhsic_transfer.models.config import EncoderConfig, FeatureSpec, Stage

# By which timm names an architecture for pictures of a common size, which may be left out here.
_SIZE = "_224"


def resolve(name: str) -> str:
    """Return timm's full name of an architecture: ``"vit_small_patch16"`` is ``"vit_small_patch16_224"``.

    Raises:
        UnknownArchitectureError: timm has no such architecture; the message names near ones.
        MissingDependencyError: timm is not installed.
    """
    timm = _timm()
    for known in (name, name + _SIZE):
        if timm.is_model(known):
            return known
    near = difflib.get_close_matches(name[:80], timm.list_models(f"{name.split('_')[0]}*"), n=3, cutoff=0.4)
    hint = f" Do you mean one of: {', '.join(near)}?" if near else ""
    raise UnknownArchitectureError(
        f"timm {timm.__version__} has no architecture {name[:80]!r}.{hint} timm.list_models('{name.split('_')[0]}*') "
        "lists those that it has."
    )


@lru_cache(maxsize=16)
def shape_of(architecture: str, **options: Any) -> nn.Module:
    """Make a network of timm without values, to look at its numbers."""
    with torch.device("meta"):
        return make(architecture, **options)


def make(architecture: str, **options: Any) -> nn.Module:
    """Make a network of timm without its classifier, initialized from torch's global random state."""
    network: nn.Module = _timm().create_model(architecture, pretrained=False, num_classes=0, **options)
    return network


class TimmBackbone(Backbone):
    """A network of timm whose children, parameters and buffers are this module's, under timm's names.

    Args:
        config: which network.
        network: timm's.

    Attributes:
        network: the same; it is no child, which would put its name before all others.
    """

    network: Any

    def __init__(self, config: EncoderConfig, network: nn.Module) -> None:
        super().__init__(config)
        share_members(self, network)
        object.__setattr__(self, "network", network)
        self._output_stride: OutputStride = 32

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map, dilation included."""
        return {
            stage: FeatureSpec(spec.channels, min(spec.stride, self._output_stride))
            for stage, spec in self.config.specs.items()
        }

    def dilate(self, output_stride: OutputStride) -> None:
        """Give no map a coarser stride than this."""
        self._output_stride = output_stride


def _timm() -> Any:
    return optional_import("timm", extra="timm", purpose="ConvNeXts and ViTs")
