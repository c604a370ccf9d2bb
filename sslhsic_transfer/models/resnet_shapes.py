"""The ResNets in numbers: blocks, and the feature maps that follow from them; torch is not needed."""

import difflib
from dataclasses import dataclass
from typing import Literal

from sslhsic_transfer.errors import UnknownArchitectureError
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage


@dataclass(frozen=True)
class Architecture:
    """One row of the table of ResNets.

    Attributes:
        block: torchvision's residual block: ``"BasicBlock"`` or ``"Bottleneck"``.
        blocks: residual blocks in each of the four stages.
        expansion: channels of a stage's output over those of its 3×3 convolutions.
    """

    block: Literal["BasicBlock", "Bottleneck"]
    blocks: tuple[int, int, int, int]
    expansion: int


ARCHITECTURES: dict[str, Architecture] = {
    "resnet18": Architecture("BasicBlock", (2, 2, 2, 2), 1),
    "resnet34": Architecture("BasicBlock", (3, 4, 6, 3), 1),
    "resnet50": Architecture("Bottleneck", (3, 4, 6, 3), 4),
    "resnet101": Architecture("Bottleneck", (3, 4, 23, 3), 4),
    "resnet152": Architecture("Bottleneck", (3, 8, 36, 3), 4),
    "resnet200": Architecture("Bottleneck", (3, 24, 36, 3), 4),
}


def find_architecture(name: str) -> Architecture:
    """Look a ResNet up by name.

    Raises:
        UnknownArchitectureError: no such architecture; the message lists the nearest and all others.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = difflib.get_close_matches(name[:80], ARCHITECTURES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownArchitectureError(
        f"Unknown architecture {name[:80]!r}; expected one of: {', '.join(ARCHITECTURES)}.{hint} "
        "The wide members of the family are width=2 and width=4 of these. ConvNeXts and ViTs have timm's names, such "
        "as convnext_tiny and vit_small_patch16_224."
    )


def resolve(name: str) -> str:
    """Return a ResNet's name; errors as of `find_architecture`."""
    find_architecture(name)
    return name


def specs(config: EncoderConfig) -> dict[Stage, FeatureSpec]:
    """Compute channels and stride of each stage's feature map.

    Raises:
        UnknownArchitectureError: no such architecture.
    """
    expansion = find_architecture(config.architecture).expansion
    first_stride = 4 if config.stem == "imagenet" else 1
    return {
        stage: FeatureSpec(64 * config.width * expansion * 2**i, first_stride * 2**i) for i, stage in enumerate(STAGES)
    }
