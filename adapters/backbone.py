"""An encoder as the backbone of a dense task: what all adapters build upon."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from sslhsic_transfer.adapters.report import LoadReport, load_encoder
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.loading import as_encoder
from sslhsic_transfer.models.config import STAGES, FeatureSpec, Stage
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.resnet import ResNet, SamePadConv2d

OutputStride = Literal[8, 16, 32]
PARTS = ("stem", *STAGES)


class DenseBackbone(ResNet):
    """A copy of an encoder that gives feature maps, with parts frozen, statistics fixed or strides dilated.

    Its state dict has torchvision's names, as the encoder's. With the defaults its maps are the encoder's.
    Like every new module it is in training mode, where statistics follow the batch: for maps as they are, `eval` it.

    >>> backbone = DenseBackbone("org/name", ("c2", "c5"), freeze_at=2).eval()
    >>> maps = backbone(images)  # {"c2": (B, C, H/4, W/4), "c5": (B, C, H/32, W/32)}

    Args:
        encoder: what is copied, staying as it is; or what `from_pretrained` takes.
        stages: the maps to give; what comes after the last of them is kept, but not computed and not trained.
        output_stride: stride of the last map for an ImageNet stem: 32, or 16 or 8 by dilating the last stages.
        freeze_at: how many parts, from the input on, do not train and keep their statistics: 0: none, 1: the stem, 2:
            the stem and c2, … 5: all. The same as Detectron2's FREEZE_AT; mmseg's ``frozen_stages`` is one less.
        norm_eval: whether batch statistics stay fixed everywhere (their scales and offsets still train).

    Attributes:
        report: what was loaded.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        stages: Sequence[Stage] = STAGES,
        *,
        output_stride: OutputStride = 32,
        freeze_at: int = 0,
        norm_eval: bool = False,
    ) -> None:
        _check(stages, output_stride, freeze_at)
        encoder = as_encoder(encoder)
        with torch.device("meta"):
            super().__init__(encoder.config)
        weight = encoder.conv1.weight
        self.to(weight.dtype).to_empty(device=weight.device)
        self.config = encoder.config
        self.preprocessing = encoder.preprocessing
        self.stages = tuple(stages)
        self.report: LoadReport = load_encoder(self, encoder)
        self._frozen = PARTS[:freeze_at]
        unused = PARTS[max(PARTS.index(stage) for stage in stages) + 1 :]
        self._norm_eval = norm_eval
        self._dilate(output_stride)
        for part in (*self._frozen, *unused):  # distributed training asks for a gradient of all that trains
            for module in self._modules_of(part):
                module.requires_grad_(False)
        self.train(self.training)

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each map that it gives, dilation included."""
        strides, divisor = {}, 1
        for number, stage in enumerate(STAGES, start=1):
            divisor *= 2 if number in self._dilated else 1
            strides[stage] = self.config.specs[stage].stride // divisor
        return {stage: FeatureSpec(self.config.specs[stage].channels, strides[stage]) for stage in self.stages}

    def forward(self, images: Tensor) -> dict[Stage, Tensor]:
        """Feature maps: (B, 3, H, W) normalised pictures -> {stage: (B, C, ⌈H/stride⌉, ⌈W/stride⌉)}."""
        maps = self.forward_stages(images, max(self.stages, key=STAGES.index))
        return {stage: maps[stage] for stage in self.stages}

    def train(self, mode: bool = True) -> "DenseBackbone":
        """Train or eval mode; what is frozen stays in eval mode."""
        super().train(mode)
        if mode:
            for part in self._frozen:
                for module in self._modules_of(part):
                    module.eval()
            if self._norm_eval:
                for module in self.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self

    def _modules_of(self, part: str) -> list[nn.Module]:
        return [self.conv1, self.bn1] if part == "stem" else [getattr(self, f"layer{PARTS.index(part)}")]

    def _dilate(self, output_stride: OutputStride) -> None:
        """Give the last stages stride 1, and dilate what follows, so that on the coarser grid nothing changes."""
        self._dilated = {32: (), 16: (4,), 8: (3, 4)}[output_stride]
        dilation = 1
        for number in self._dilated:
            for position, block in enumerate(getattr(self, f"layer{number}")):
                assert isinstance(block, BasicBlock | Bottleneck)
                for name, layer in list(block.named_children()):
                    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                        strided = layer.stride == (2, 2)
                        setattr(block, name, _dilated(layer, dilation if strided else 2 * dilation))
                if position == 0 and block.downsample is not None:
                    block.downsample[0].stride = (1, 1)
            dilation *= 2


def _dilated(layer: nn.Conv2d, dilation: int) -> nn.Conv2d:
    """The same convolution with stride 1 and a dilation, padded to keep the size."""
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


def _check(stages: Sequence[Stage], output_stride: int, freeze_at: int) -> None:
    problems = []
    if not stages or set(stages) - set(STAGES):
        problems.append(f"stages: got {list(stages)}; expected one or more of {', '.join(STAGES)}")
    if output_stride not in (8, 16, 32):
        problems.append(f"output_stride: got {output_stride}; expected 8, 16 or 32")
    if freeze_at not in range(len(PARTS) + 1):
        problems.append(
            f"freeze_at: got {freeze_at}; expected 0 to {len(PARTS)}, for none to all of {', '.join(PARTS)}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
