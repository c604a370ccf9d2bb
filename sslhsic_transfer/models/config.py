"""The configuration of an encoder: architecture, stem, padding, width, and the feature maps that follow from them."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Stage = Literal["c2", "c3", "c4", "c5"]
STAGES: tuple[Stage, ...] = get_args(Stage)
SMALLEST_SIDE = 32  # of pictures, in pixels: one place of the last map with an ImageNet stem


@dataclass(frozen=True)
class Family:
    """One row of the table of families of networks.

    Attributes:
        names: the beginning of its architectures' names, a regular expression.
        shapes: the module whose `resolve` and `specs` tell a configuration's full name and feature maps.
        backbone: the module whose `build` makes the network, a `Backbone`.
        resnet_options: whether its networks can be chosen by stem, padding, width and zero_init_residual.
        timm_pooling: timm's ``global_pool``; None where timm's architecture itself says how it pools.
        timm_layers: layers that timm's ``pretrained_cfg`` names, if config.json must name them.
    """

    names: str
    shapes: str
    backbone: str
    resnet_options: bool = False
    timm_pooling: str | None = None
    timm_layers: Mapping[str, str] = field(default_factory=dict)


_MODELS = "sslhsic_transfer.models"
FAMILIES: dict[str, Family] = {
    "resnet": Family(
        "",
        f"{_MODELS}.resnet_shapes",
        f"{_MODELS}.resnet",
        resnet_options=True,
        timm_pooling="avg",
        timm_layers={"first_conv": "conv1", "classifier": "fc"},
    ),
    "convnext": Family("convnext", f"{_MODELS}.convnext", f"{_MODELS}.convnext"),
    "vit": Family("(vit|deit)", f"{_MODELS}.vision_transformer", f"{_MODELS}.vision_transformer"),
}


@dataclass(frozen=True)
class FeatureSpec:
    """Shape of one feature map: ``channels``, and ``stride`` in input pixels."""

    channels: int
    stride: int


class EncoderConfig(BaseModel):
    """The choices that define an encoder's network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(
        description="Name of the network, such as 'resnet50', or timm's name of a ConvNeXt or ViT, such as "
        "'vit_small_patch16_224'."
    )
    stem: Literal["imagenet", "small"] = Field(
        default="imagenet",
        description="First layers of a ResNet. 'imagenet': 7×7 convolution with stride 2, then max-pooling; 'small': "
        "3×3 convolution with stride 1, for pictures up to 64 pixels.",
    )
    padding: Literal["torch", "same"] = Field(
        default="torch",
        description="Padding of a ResNet's convolutions. 'torch': symmetric; 'same': as in JAX, with the extra row "
        "and column of even inputs at the end.",
    )
    width: Literal[1, 2, 4] = Field(default=1, description="Factor on a ResNet's channel counts.")

    @field_validator("architecture")
    @classmethod
    def _full_name(cls, name: str) -> str:
        return resolve_architecture(name)

    @model_validator(mode="after")
    def _fits(self) -> "EncoderConfig":
        if not family_of(self.architecture).resnet_options:
            chosen = (self.stem, self.padding, self.width)
            if chosen != ("imagenet", "torch", 1):
                raise ValueError(f"stem, padding and width are a ResNet's; got {chosen} for {self.architecture}")
        return self

    @property
    def feature_dim(self) -> int:
        """D, the width of the pooled embedding."""
        return self.specs["c5"].channels

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of every stage's feature map."""
        found: dict[Stage, FeatureSpec] = importlib.import_module(family_of(self.architecture).shapes).specs(self)
        return found


def resolve_architecture(name: str) -> str:
    """Return the name by which an architecture's family knows it.

    Raises:
        UnknownArchitectureError: no family has it.
        MissingDependencyError: the family needs timm, which is not installed.
    """
    found: str = importlib.import_module(family_of(name).shapes).resolve(name)
    return found


def family_of(architecture: str) -> Family:
    """Look up the family that an architecture's name belongs to; ResNets where it is none of the others."""
    others = (family for name, family in FAMILIES.items() if name != "resnet")
    return next((family for family in others if re.match(family.names, architecture)), FAMILIES["resnet"])
