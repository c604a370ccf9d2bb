"""The contract of backbones: all that an encoder, the adapters and the exports ask of a network."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage

OutputStride = Literal[8, 16, 32]
Part = Literal["stem", "c2", "c3", "c4", "c5"]
PARTS: tuple[Part, ...] = ("stem", *STAGES)


class Backbone(nn.Module, ABC):
    """A network without a head, in five parts: a stem and four stages, each of which gives a feature map.

    A family of networks is a subclass in a file of its own. Its parameters have the names that the family's weights
    have everywhere.

    Attributes:
        config: which network of the family.
    """

    config: EncoderConfig

    @abstractmethod
    def forward_stages(self, images: Tensor, last: Stage = "c5") -> dict[Stage, Tensor]:
        """Compute the feature maps of all stages up to ``last``.

        Args:
            images: (B, 3, H, W), normalised.
            last: no stage beyond it is computed.

        Returns:
            Stage -> (B, C, ⌈H/stride⌉, ⌈W/stride⌉).
        """

    @abstractmethod
    def forward_pooled(self, images: Tensor) -> Tensor:
        """Embed normalised images: (B, 3, H, W) -> (B, D)."""

    @property
    @abstractmethod
    def first_weight(self) -> Tensor:
        """A parameter whose device and dtype are the network's."""

    @property
    @abstractmethod
    def part_names(self) -> dict[Part, tuple[str, ...]]:
        """The children that each part consists of, in the order of computation."""

    @abstractmethod
    def dilate(self, output_stride: OutputStride) -> None:
        """Lower the stride of the last map in place, keeping the weights' meaning.

        Raises:
            ConfigError: the family cannot.
        """

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.first_weight.dtype

    @property
    def feature_dim(self) -> int:
        """D, the width of the pooled embedding."""
        return self.config.feature_dim

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map: ``encoder.specs["c4"]``."""
        return self.config.specs

    def modules_of(self, part: Part) -> list[nn.Module]:
        """List the children of a part."""
        return [self.get_submodule(name) for name in self.part_names[part]]
