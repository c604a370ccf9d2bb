"""What an encoder is, in numbers: architecture, stem, padding, width, and the feature maps that follow from them."""

import difflib
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sslhsic_transfer.errors import UnknownArchitectureError

Stage = Literal["c2", "c3", "c4", "c5"]
STAGES: tuple[Stage, ...] = get_args(Stage)
SMALLEST_SIDE = 32  # of pictures, in pixels: one place of the last map with an ImageNet stem


@dataclass(frozen=True)
class Architecture:
    """One row of the table of backbones.

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


@dataclass(frozen=True)
class FeatureSpec:
    """Shape of one feature map: ``channels``, and ``stride`` in input pixels."""

    channels: int
    stride: int


class EncoderConfig(BaseModel):
    """The choices that define an encoder's network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(description="Name in the table of architectures, such as 'resnet50'.")
    stem: Literal["imagenet", "small"] = Field(
        default="imagenet",
        description="'imagenet': 7×7 stride 2 and max-pool; 'small': 3×3 stride 1, for pictures ≤ 64 px.",
    )
    padding: Literal["torch", "same"] = Field(
        default="torch",
        description="'torch': symmetric; 'same': the JAX convention, extra row and column at the end of even inputs.",
    )
    width: Literal[1, 2, 4] = Field(default=1, description="Multiplier of every channel count.")

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        find_architecture(name)
        return name

    @property
    def feature_dim(self) -> int:
        """D, the width of the pooled embedding."""
        return self.specs["c5"].channels

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of every stage's feature map."""
        expansion = find_architecture(self.architecture).expansion
        first_stride = 4 if self.stem == "imagenet" else 1
        return {
            stage: FeatureSpec(64 * self.width * expansion * 2**i, first_stride * 2**i)
            for i, stage in enumerate(STAGES)
        }


def find_architecture(name: str) -> Architecture:
    """Look an architecture up by name.

    Raises:
        UnknownArchitectureError: no such architecture; the message lists the nearest and all others.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = difflib.get_close_matches(name[:80], ARCHITECTURES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownArchitectureError(
        f"Unknown architecture {name[:80]!r}; expected one of: {', '.join(ARCHITECTURES)}.{hint} "
        "The wide members of the family are width=2 and width=4 of these."
    )
