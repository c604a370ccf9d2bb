"""The contract of backbones: all that an encoder, the adapters and the exports ask of a network."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage, family_of

OutputStride = Literal[8, 16, 32]
Part = Literal["stem", "c2", "c3", "c4", "c5"]
PARTS: tuple[Part, ...] = ("stem", *STAGES)
Output = Literal["pooled", "c2", "c3", "c4", "c5"]


class Backbone(nn.Module, ABC):
    """A network without a head, in five parts: a stem and four stages, each of which gives a feature map.

    A family of networks is a subclass in a file of its own. Its parameters have the names that the family's weights
    have everywhere.

    Attributes:
        config: which network of the family.
        shared_names: children that every map passes through after its stage.
        head_names: children that the pooled embedding alone passes through.
    """

    shared_names: tuple[str, ...] = ()
    head_names: tuple[str, ...] = ()

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward_outputs(self, images: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Compute several outputs in one pass, and nothing beyond the last of them.

        Args:
            images: (B, 3, H, W), normalized; H and W at least `SMALLEST_SIDE`.
            outputs: ``"pooled"``, ``"c2"``, … ``"c5"``.

        Returns:
            ``"pooled"`` -> (B, D), a stage -> (B, C, ⌈H/stride⌉, ⌈W/stride⌉).
        """

    def forward_pooled(self, images: Tensor) -> Tensor:
        """Embed normalized images: (B, 3, H, W) -> (B, D)."""
        only: tuple[Output, ...] = ("pooled",)
        return self.forward_outputs(images, only)["pooled"]

    def forward_stages(self, images: Tensor, stages: Collection[Stage] = STAGES) -> dict[Stage, Tensor]:
        """Compute the feature maps of some stages, in their order: (B, 3, H, W) -> {stage: (B, C, …)}."""
        maps = self.forward_outputs(images, stages)
        return {stage: maps[stage] for stage in stages}

    @property
    @abstractmethod
    def first_weight(self) -> Tensor:
        """A parameter whose device and dtype are the network's."""

    @property
    @abstractmethod
    def part_names(self) -> dict[Part, tuple[str, ...]]:
        """The children, or parameters of its own, that each part consists of, in the order of computation."""

    @abstractmethod
    def dilate(self, output_stride: OutputStride) -> None:
        """Lower the stride of the last map in place, keeping the weights' meaning; do nothing where it is that already.

        Raises:
            ConfigError: the family cannot.
        """

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map, dilation included."""
        return self.config.specs

    def freeze(self, names: Collection[str]) -> None:
        """Let children, or parameters of its own, train no more."""
        for name in names:
            own = self._parameters.get(name)
            (self.get_submodule(name) if own is None else own).requires_grad_(False)

    def hold(self, names: Collection[str]) -> None:
        """Put children in eval mode, so that their statistics stay."""
        for name in names:
            if name not in self._parameters:
                self.get_submodule(name).eval()


def share_members(module: nn.Module, network: nn.Module) -> None:
    """Make a network's children, parameters and buffers those of a module, too, under the same names."""
    module._modules, module._parameters, module._buffers = network._modules, network._parameters, network._buffers
    module._non_persistent_buffers_set = network._non_persistent_buffers_set


def places(side: int, stride: int) -> int:
    """Compute ⌈side/stride⌉, the places of a map; without negative numbers, whose division ONNX rounds otherwise."""
    return (side + stride - 1) // stride


def build_backbone(config: EncoderConfig, *, zero_init_residual: bool = False) -> Backbone:
    """Make the network that a configuration describes, initialized from torch's global random state.

    Args:
        config: which network.
        zero_init_residual: start the last normalization of each block at zero instead of one; ResNets alone have it.

    Raises:
        ConfigError: ``zero_init_residual`` for another family.
        MissingDependencyError: the family needs timm, which is not installed.
    """
    family = family_of(config.architecture)
    if zero_init_residual and not family.resnet_options:
        raise ConfigError(f"zero_init_residual is a ResNet's; {config.architecture} has timm's initialization.")
    options = {"zero_init_residual": zero_init_residual} if family.resnet_options else {}
    network: Backbone = importlib.import_module(family.backbone).build(config, **options)
    return network


class HasBackbone(nn.Module):
    """A module whose children, parameters and buffers are its backbone's, under the same names.

    So a state dict has the names of the family's weights, whoever holds the backbone.

    Attributes:
        backbone: the network. It is no child, which would put its name before all others.
    """

    backbone: Backbone

    def adopt(self, backbone: Backbone) -> None:
        """Take a backbone in; what either gets or loses later, both do."""
        share_members(self, backbone)
        object.__setattr__(self, "backbone", backbone)

    @property
    def config(self) -> EncoderConfig:
        """Which network it is."""
        return self.backbone.config

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.backbone.first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.backbone.first_weight.dtype

    @property
    def feature_dim(self) -> int:
        """D, the width of the pooled embedding."""
        return self.config.feature_dim
