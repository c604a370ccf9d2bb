"""ResNet v1.5 in torchvision's parameter names, with the variants of the BYOL and SSL-HSIC family.

The blocks are torchvision's; what differs is the stem for small pictures, the width of every layer, and the padding
convention of the JAX code (`SAME`), which on even inputs pads one row less before and none fewer after.
"""

from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from sslhsic_transfer.models.backbone import PARTS, Backbone, Output, OutputStride, Part
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage
from sslhsic_transfer.models.resnet_shapes import find_architecture

_BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"BasicBlock": BasicBlock, "Bottleneck": Bottleneck}


class ResNet(Backbone):
    """A stem and four residual stages, without a classifier.

    Args:
        config: which network.
        zero_init_residual: start the last normalization of each block at zero (haiku's default) instead of one.
    """

    def __init__(self, config: EncoderConfig, *, zero_init_residual: bool = False) -> None:
        super().__init__(config)
        self._dilated: tuple[int, ...] = ()  # numbers of the stages that have lost their stride
        architecture = find_architecture(config.architecture)
        block = _BLOCKS[architecture.block]
        channels = 64 * config.width
        if config.stem == "imagenet":
            self.conv1 = nn.Conv2d(3, channels, kernel_size=7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = (
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if config.stem == "imagenet" else nn.Identity()
        )
        inputs = channels
        for number, blocks in enumerate(architecture.blocks, start=1):
            planes = channels * 2 ** (number - 1)
            setattr(self, f"layer{number}", _stage(block, inputs, planes, blocks, stride=1 if number == 1 else 2))
            inputs = planes * architecture.expansion
        if config.padding == "same":
            _use_same_padding(self)
        _initialize(self, zero_init_residual)

    def forward_outputs(self, images: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Compute the stages up to the last that is asked for; the pooled embedding is the mean over c5's places."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        given: dict[Output, Tensor] = {}
        for number, stage in enumerate(STAGES, start=1):
            x = given[stage] = getattr(self, f"layer{number}")(x)
            if "pooled" not in outputs and given.keys() >= set(outputs):
                break
        if "pooled" in outputs:
            given["pooled"] = x.mean(dim=(2, 3))
        return given

    @property
    def first_weight(self) -> Tensor:
        """The kernel of the first convolution."""
        return self.conv1.weight

    @property
    def part_names(self) -> dict[Part, tuple[str, ...]]:
        """The children that each part consists of, in the order of computation."""
        stages: dict[Part, tuple[str, ...]] = {part: (f"layer{PARTS.index(part)}",) for part in STAGES}
        return {"stem": ("conv1", "bn1"), **stages}

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map, dilation included."""
        specs, divisor = {}, 1
        for number, (stage, spec) in enumerate(self.config.specs.items(), start=1):
            divisor *= 2 if number in self._dilated else 1
            specs[stage] = FeatureSpec(spec.channels, spec.stride // divisor)
        return specs

    def dilate(self, output_stride: OutputStride) -> None:
        """Give the last stages stride 1, and dilate what follows, so that on the coarser grid nothing changes.

        Args:
            output_stride: stride of the last map for an ImageNet stem.
        """
        self._dilated = {32: (), 16: (4,), 8: (3, 4)}[output_stride]
        dilation = 1
        for number in self._dilated:
            for position, block in enumerate(self.get_submodule(f"layer{number}").children()):
                assert isinstance(block, BasicBlock | Bottleneck)
                for name, layer in list(block.named_children()):
                    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                        strided = layer.stride == (2, 2)
                        setattr(block, name, _dilated(layer, dilation if strided else 2 * dilation))
                if position == 0 and block.downsample is not None:
                    block.downsample[0].stride = (1, 1)
            dilation *= 2


def build(config: EncoderConfig, *, zero_init_residual: bool = False) -> ResNet:
    """Make a ResNet, initialized from torch's global random state."""
    return ResNet(config, zero_init_residual=zero_init_residual)


class SamePadConv2d(nn.Conv2d):
    """A strided convolution that pads as JAX and TensorFlow do under ``SAME``; the same parameters as `nn.Conv2d`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d's own name
        """(B, C, H, W) -> (B, C', ⌈H/s⌉, ⌈W/s⌉)."""
        padded = F.pad(input, same_padding(input, cast(int, self.padding[0])))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class SamePadMaxPool2d(nn.MaxPool2d):
    """A strided max-pool with ``SAME`` padding; what is padded never wins."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.MaxPool2d's own name
        """(B, C, H, W) -> (B, C, ⌈H/s⌉, ⌈W/s⌉)."""
        padded = F.pad(input, same_padding(input, cast(int, self.padding)), value=-torch.inf)
        return F.max_pool2d(padded, self.kernel_size, self.stride)


def _dilated(layer: nn.Conv2d, dilation: int) -> nn.Conv2d:
    """Return the same convolution with stride 1 and a dilation, padded to keep the size."""
    if isinstance(layer, SamePadConv2d):
        same = _DilatedSameConv2d(layer.in_channels, layer.out_channels, 3, bias=False, device="meta")
        same.weight = layer.weight
        layer = same
    layer.stride, layer.dilation, layer.padding = (1, 1), (dilation, dilation), (dilation, dilation)
    return layer


class _DilatedSameConv2d(nn.Conv2d):
    """Stride 1 in place of a strided 3×3 convolution under ``SAME``, which looks forward where its input is even."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d's own name
        """(B, C, H, W) -> (B, C', H, W)."""
        step = self.dilation[0]
        before = [step * ((size + step - 1) // step % 2) for size in input.shape[-2:]]  # the coarse grid's size counts
        padded = F.pad(input, [before[1], 2 * step - before[1], before[0], 2 * step - before[0]])
        return F.conv2d(padded, self.weight, self.bias, 1, 0, self.dilation)


def same_padding(x: Tensor, symmetric: int) -> list[int]:
    """Compute ``SAME`` padding (left, right, top, bottom) of a stride-2 layer of odd kernel size 2·symmetric + 1.

    Odd inputs are padded symmetrically; even ones get one row and one column less at the start.
    """
    height, width = x.shape[-2:]
    return [symmetric - 1 + width % 2, symmetric, symmetric - 1 + height % 2, symmetric]


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, planes: int, blocks: int, stride: int
) -> nn.Sequential:
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, downsample)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(blocks - 1)))


def _use_same_padding(network: nn.Module) -> None:
    """Replace every strided layer wider than one pixel by its ``SAME`` twin; other layers pad alike in both."""
    for name, layer in list(network.named_modules()):
        parent = network.get_submodule(name.rpartition(".")[0])
        attribute = name.rpartition(".")[2]
        if isinstance(layer, nn.Conv2d) and layer.stride[0] == 2 and layer.kernel_size[0] > 1:
            twin = SamePadConv2d(
                layer.in_channels,
                layer.out_channels,
                cast(tuple[int, int], layer.kernel_size),
                cast(tuple[int, int], layer.stride),
                cast(tuple[int, int], layer.padding),
                bias=False,
            )
            setattr(parent, attribute, twin)
        elif isinstance(layer, nn.MaxPool2d):
            setattr(parent, attribute, SamePadMaxPool2d(layer.kernel_size, layer.stride, layer.padding))


def _initialize(network: nn.Module, zero_init_residual: bool) -> None:
    """Torchvision's initialization: He normal (fan out) for convolutions, ones and zeros for normalization."""
    if next(network.parameters()).is_meta:  # without values, which are loaded next: there this takes long for nothing
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual and isinstance(layer, BasicBlock | Bottleneck):
            nn.init.zeros_((layer.bn3 if isinstance(layer, Bottleneck) else layer.bn2).weight)
