"""A family of backbones: each part halves or quarters the picture by one convolution."""

from torch import nn

from sslhsic_transfer.errors import ConfigError, UnknownArchitectureError
from sslhsic_transfer.models.backbone import Backbone
from sslhsic_transfer.models.config import STAGES, FeatureSpec

NAME = "patches_tiny"


def resolve(name):
    if name != NAME:
        raise UnknownArchitectureError(f"Unknown architecture {name!r}; expected {NAME}.")
    return name


def specs(config):
    return {stage: FeatureSpec(8 * 2**i, 4 * 2**i) for i, stage in enumerate(STAGES)}


def build(config, *, zero_init_residual=False):
    return Patches(config)


class Patches(Backbone):
    def __init__(self, config):
        super().__init__(config)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        widths = [8, *(spec.channels for spec in self.specs.values())]
        for stage, inputs, outputs in zip(STAGES, widths, widths[1:], strict=False):
            self.add_module(stage, nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))

    def forward_outputs(self, images, outputs):
        x = self.stem(images)
        found = {}
        for stage in STAGES:
            x = self.get_submodule(stage)(x).relu()
            found[stage] = x
        found["pooled"] = x.mean(dim=(2, 3))
        return {name: found[name] for name in outputs}

    @property
    def first_weight(self):
        return self.stem.weight

    @property
    def part_names(self):
        return {"stem": ("stem",), **{stage: (stage,) for stage in STAGES}}

    def dilate(self, output_stride):
        if output_stride != self.specs["c5"].stride:
            raise ConfigError("Patches cannot be dilated.")
