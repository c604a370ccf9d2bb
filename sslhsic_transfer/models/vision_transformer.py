"""Vision Transformers of timm: plain ones, DINOv2's with registers, DINOv3's with rotary positions."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsic_transfer.models._timm import TimmBackbone, make, shape_of
from sslhsic_transfer.models._timm import resolve as resolve
from sslhsic_transfer.models.backbone import Output, Part, places
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage

_OPTIONS = {"dynamic_img_size": True, "dynamic_img_pad": True}
_STRIDES = (4, 8, 16, 32)


class VisionTransformer(TimmBackbone):
    """A ViT: the pooled embedding is timm's (class token or mean), and the blocks' tokens give a pyramid of maps.

    c2 … c5 are the normalized tokens after a quarter, a half, three quarters and all of the blocks, as DINOv2 takes
    them, brought to strides of 4 to 32 by linear interpolation, which has no weights. Position embeddings are resampled
    for each size of input. Pictures are padded to whole patches.
    """

    def forward_outputs(self, images: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Run the blocks up to the last that is asked for."""
        network, specs = self.network, self.specs
        stages = [stage for stage in STAGES if stage in outputs]
        ends = self._ends()
        tokens, levels = network.forward_intermediates(
            images,
            indices=[ends[STAGES.index(stage)] for stage in stages] or [ends[-1]],
            norm=True,
            stop_early="pooled" not in outputs,
            output_fmt="NLC",
        )
        height, width = images.shape[-2:]
        given: dict[Output, Tensor] = {
            stage: self._resampled(level, height, width, specs[stage].stride)
            for stage, level in zip(stages, levels, strict=False)
        }
        if "pooled" in outputs:
            given["pooled"] = network.forward_head(tokens, pre_logits=True)
        return given

    def _ends(self) -> list[int]:
        """List the last block of each stage."""
        depth = len(self.network.blocks)
        return [depth * quarter // 4 - 1 for quarter in range(1, 5)]

    def _resampled(self, level: Tensor, height: int, width: int, stride: int) -> Tensor:
        """(B, h·w, C) tokens -> (B, C, ⌈H/stride⌉, ⌈W/stride⌉), each value at the middle of its pixels."""
        patch: int = self.network.patch_embed.patch_size[0]
        grid = self.network.patch_embed.dynamic_feat_size((height, width))
        level = level.transpose(1, 2).reshape(level.shape[0], level.shape[2], *grid)
        rows, columns = places(height, stride), places(width, stride)
        if patch != stride:
            scale = patch / stride
            level = F.interpolate(level.float(), scale_factor=scale, mode="bilinear", align_corners=False).to(level)
            missing = (max(0, columns - level.shape[-1]), max(0, rows - level.shape[-2]))  # at most one
            level = F.pad(level, (0, missing[0], 0, missing[1]), mode="replicate")
        return level[..., :rows, :columns]

    @property
    def first_weight(self) -> Tensor:
        """The kernel that embeds patches."""
        return self.get_parameter("patch_embed.proj.weight")

    @property
    def part_names(self) -> dict[Part, tuple[str, ...]]:
        """The children, or parameters of its own, that each part consists of, in the order of computation."""
        parts: dict[Part, tuple[str, ...]] = {}
        blocks = 0
        for stage, end in zip(STAGES, self._ends(), strict=True):
            parts[stage] = tuple(f"blocks.{number}" for number in range(blocks, end + 1))
            blocks = end + 1
        return {"stem": ("patch_embed", "norm_pre", *self._parameters), **parts}

    shared_names = ("norm",)
    head_names = ("fc_norm", "head")


def build(config: EncoderConfig) -> VisionTransformer:
    """Make a ViT, initialized from torch's global random state."""
    with torch.device("cpu"):  # rotary positions are buffers that no file holds: they need values from the start
        return VisionTransformer(config, make(config.architecture, **_OPTIONS))


def specs(config: EncoderConfig) -> dict[Stage, FeatureSpec]:
    """Tell channels and stride of each stage's feature map."""
    width: Any = shape_of(config.architecture, **_OPTIONS).embed_dim
    return {stage: FeatureSpec(width, stride) for stage, stride in zip(STAGES, _STRIDES, strict=True)}
