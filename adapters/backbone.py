"""An encoder as the backbone of a dense task, the base of all adapters."""

import copy
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from sslhsic_transfer.adapters.report import LoadReport, load_encoder
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder, as_encoder
from sslhsic_transfer.models.backbone import PARTS, HasBackbone, OutputStride
from sslhsic_transfer.models.config import STAGES, FeatureSpec, Stage


class DenseBackbone(HasBackbone):
    """A copy of an encoder that returns feature maps, with parts frozen, statistics fixed or strides dilated.

    Its state dict has torchvision's names, like the encoder's. With the defaults its maps are the encoder's.
    Like every new module it is in training mode, which normalizes by the batch; call `eval` for the encoder's own maps.

    >>> backbone = DenseBackbone("org/name", ("c2", "c5"), freeze_at=2).eval()
    >>> maps = backbone(images)  # {"c2": (B, C, H/4, W/4), "c5": (B, C, H/32, W/32)}

    Args:
        encoder: the encoder to copy, or what `from_pretrained` takes.
        stages: the maps to return; parts after the last of them are kept, but neither computed nor trained.
        output_stride: stride of the last map for an ImageNet stem: 32, or 16 or 8 by dilating the last stages.
        freeze_at: number of parts, from the input on, that do not train and keep their statistics. 0: none, 1: the
            stem, 2: the stem and c2, … 5: all. The same as Detectron2's FREEZE_AT; mmseg's ``frozen_stages`` is one
            less.
        norm_eval: whether batch statistics stay fixed everywhere (their scales and offsets still train).

    Attributes:
        report: report of the loaded weights.

    Raises:
        ConfigError: an argument is out of range.
    """

    pooled = False  # whether a subclass also returns the pooled embedding

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
        super().__init__()
        self.adopt(copy.deepcopy(encoder.backbone).requires_grad_(True))
        self.zero_grad()
        self.preprocessing = encoder.preprocessing
        self.out_stages = tuple(stages)
        self.report: LoadReport = load_encoder(self, encoder)
        self._frozen = PARTS[:freeze_at]
        unused = PARTS[max(PARTS.index(stage) for stage in stages) + 1 :]
        self._norm_eval = norm_eval
        self.backbone.dilate(output_stride)
        names = self.backbone.part_names
        for part in (*self._frozen, *unused):  # distributed training needs a gradient for every trained parameter
            self.backbone.freeze(names[part])
        if freeze_at == len(PARTS):
            self.backbone.freeze(self.backbone.shared_names)
        if freeze_at == len(PARTS) or not self.pooled:
            self.backbone.freeze(self.backbone.head_names)
        self.train(self.training)

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each returned map, including dilation."""
        specs = self.backbone.specs
        return {stage: specs[stage] for stage in self.out_stages}

    def forward(self, images: Tensor) -> dict[Stage, Tensor]:
        """Map normalized pictures (B, 3, H, W) to feature maps {stage: (B, C, ⌈H/stride⌉, ⌈W/stride⌉)}."""
        return self.backbone.forward_stages(images, self.out_stages)

    def train(self, mode: bool = True) -> "DenseBackbone":
        """Set train or eval mode; frozen parts stay in eval mode."""
        super().train(mode)
        if mode:
            for part in self._frozen:
                self.backbone.hold(self.backbone.part_names[part])
            if self._norm_eval:
                for module in self.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self


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
