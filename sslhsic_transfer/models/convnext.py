"""ConvNeXts of timm, of both versions."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.models._timm import TimmBackbone, make, shape_of
from sslhsic_transfer.models._timm import resolve as resolve
from sslhsic_transfer.models.backbone import Output, OutputStride, Part, places
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage


class ConvNeXt(TimmBackbone):
    """A ConvNeXt: four stages of blocks; the pooled embedding is the normalized mean of the last map.

    Pictures are padded with zeros to a multiple of 32 pixels: a map of stride s has ⌈H/s⌉ × ⌈W/s⌉ places.
    """

    def forward_outputs(self, images: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Compute the stages up to the last that is asked for."""
        network, specs = self.network, self.specs
        height, width = images.shape[-2:]
        x = network.stem(F.pad(images, (0, (32 - width % 32) % 32, 0, (32 - height % 32) % 32)))
        given: dict[Output, Tensor] = {}
        for stage, layers in zip(STAGES, network.stages, strict=True):
            x = layers(x)
            stride = specs[stage].stride
            given[stage] = x[..., : places(height, stride), : places(width, stride)]
            if "pooled" not in outputs and given.keys() >= set(outputs):
                break
        if "pooled" in outputs:
            given["pooled"] = network.head(network.norm_pre(x), pre_logits=True)
        return given

    @property
    def first_weight(self) -> Tensor:
        """The kernel of the stem."""
        return self.get_parameter("stem.0.weight")

    @property
    def part_names(self) -> dict[Part, tuple[str, ...]]:
        """The children that each part consists of, in the order of computation."""
        stages: dict[Part, tuple[str, ...]] = {stage: (f"stages.{number}",) for number, stage in enumerate(STAGES)}
        return {"stem": ("stem",), **stages}

    head_names = ("norm_pre", "head")

    def dilate(self, output_stride: OutputStride) -> None:
        """Give the last stages stride 1, and dilate what follows, so that on the coarser grid nothing changes."""
        super().dilate(output_stride)
        dilation = 1
        for number in {32: (), 16: (3,), 8: (2, 3)}[output_stride]:
            stage: Any = self.get_submodule(f"stages.{number}")
            strided = stage.downsample[1]
            stage.downsample[1] = _Dilated(strided, dilation)
            dilation *= 2
            for block in stage.blocks:
                block.conv_dw.dilation = (dilation, dilation)
                block.conv_dw.padding = tuple(dilation * (size // 2) for size in block.conv_dw.kernel_size)


class _Dilated(nn.Conv2d):
    """A convolution of kernel 2 and stride 2 with stride 1: the same weights, and the same values at even places."""

    def __init__(self, strided: nn.Conv2d, dilation: int) -> None:
        super().__init__(strided.in_channels, strided.out_channels, 2, dilation=dilation, device="meta")
        self.weight, self.bias = strided.weight, strided.bias

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d's own name
        """(B, C, H, W) -> (B, C', H, W)."""
        step = self.dilation[0]
        return super().forward(F.pad(input, (0, step, 0, step)))


def build(config: EncoderConfig) -> ConvNeXt:
    """Make a ConvNeXt, initialized from torch's global random state."""
    return ConvNeXt(config, make(config.architecture))


def specs(config: EncoderConfig) -> dict[Stage, FeatureSpec]:
    """Tell channels and stride of each stage's feature map."""
    rows: Any = shape_of(config.architecture).feature_info
    return {stage: FeatureSpec(row["num_chs"], row["reduction"]) for stage, row in zip(STAGES, rows, strict=True)}
