"""An encoder as Detectron2's backbone, plain for C4 and DC5 or under a feature pyramid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.adapters.detectron2.inputs import check_inputs
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder, as_encoder, create_encoder, from_pretrained
from sslhsic_transfer.models.backbone import PARTS, Part
from sslhsic_transfer.models.config import STAGES, Stage

Norm = Literal["BN", "SyncBN", "FrozenBN"]
NORMS = ("BN", "SyncBN", "FrozenBN")
STAGE_OF: dict[str, Stage] = {f"res{number}": stage for number, stage in enumerate(STAGES, start=2)}


class SSLHSICBackbone(DenseBackbone, Backbone):
    """A copy of an encoder as a Detectron2 backbone, without the stages after the last map.

    >>> backbone = SSLHSICBackbone("org/name", ("res2", "res5"), norm="SyncBN").eval()
    >>> maps = backbone(images)  # {"res2": (B, C, ⌈H/4⌉, ⌈W/4⌉), "res5": (B, C, ⌈H/32⌉, ⌈W/32⌉)}

    Args:
        encoder: the encoder to copy, or what `from_pretrained` takes.
        out_features: the maps to return, out of res2 to res5.
        norm: "BN"; "SyncBN" for statistics over all processes; "FrozenBN" for fixed statistics, scales and offsets.
        freeze_at: as MODEL.BACKBONE.FREEZE_AT: 0: nothing, 1: the stem, 2: the stem and res2, … 5: all.
        norm_eval: whether statistics are fixed while scales and offsets train.
        res5_dilation: 1; or 2 to give res5 the stride of res4. Only the layers after its strided layer are dilated, so
            that on the coarser grid the values are the encoder's. (Detectron2's own ResNet also dilates that layer.)

    Raises:
        ConfigError: an argument is out of range, or the encoder has the stem for small pictures.
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        out_features: Sequence[str] = tuple(STAGE_OF),
        *,
        norm: Norm = "BN",
        freeze_at: int = 0,
        norm_eval: bool = False,
        res5_dilation: Literal[1, 2] = 1,
    ) -> None:
        encoder = checked_encoder(encoder, norm)
        problems = []
        if not out_features or set(out_features) - set(STAGE_OF):
            problems.append(f"OUT_FEATURES: got {list(out_features)}; expected some of {', '.join(STAGE_OF)}")
        if res5_dilation not in (1, 2):
            problems.append(f"RES5_DILATION: got {res5_dilation}; expected 1 or 2")
        if problems:
            raise ConfigError("\n".join(problems))
        stages = [STAGE_OF[name] for name in out_features]
        super().__init__(
            encoder, stages, output_stride=16 if res5_dilation == 2 else 32, freeze_at=freeze_at, norm_eval=norm_eval
        )
        last = max(stages, key=STAGES.index)
        leave_out(self, PARTS[PARTS.index(last) + 1 :])
        convert_norms(self, norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Map normalized RGB pictures (B, 3, H, W) to {"res2": (B, C, ⌈H/4⌉, ⌈W/4⌉), …}."""
        maps = super().forward(images)
        return {name: maps[stage] for name, stage in STAGE_OF.items() if stage in maps}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return channels and stride of each map."""
        specs = self.specs
        return {
            name: ShapeSpec(channels=specs[stage].channels, stride=specs[stage].stride)
            for name, stage in STAGE_OF.items()
            if stage in specs
        }


def checked_encoder(source: Encoder | str | Path, norm: str) -> Encoder:
    """Load an encoder and check that Detectron2's heads can use it with this normalization.

    Raises:
        ConfigError: they cannot use it.
    """
    if norm not in NORMS:
        raise ConfigError(f"MODEL.RESNETS.NORM: got {norm!r}; expected {', '.join(NORMS)}: the encoder has batch norm.")
    encoder = as_encoder(source)
    if encoder.config.stem != "imagenet":
        raise ConfigError(
            f"The encoder has the stem {encoder.config.stem!r}, whose maps have strides 1 to 8; expected 'imagenet', "
            "as Detectron2's anchors and pyramids count on strides 4 to 32."
        )
    return encoder


def leave_out(network: DenseBackbone, parts: Sequence[Part]) -> None:
    """Remove unused parts (of ``PARTS``), which cost memory and whose gradients other processes would wait for."""
    for part in parts:
        for name in network.backbone.part_names[part]:
            network.set_submodule(name, nn.Identity())


def convert_norms(network: nn.Module, norm: Norm) -> None:
    """Replace batch normalization by another kind with the same parameters and statistics."""
    if norm == "SyncBN":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    elif norm == "FrozenBN":
        FrozenBatchNorm2d.convert_frozen_batchnorm(network)


def encoder_of(cfg: CfgNode) -> Encoder:
    """Load the encoder that MODEL.SSLHSIC names, or make an untrained one if it names none.

    Raises:
        ConfigError: the input's format, mean or standard deviation are not the encoder's.
    """
    settings = cfg.MODEL.SSLHSIC
    if settings.NAME:
        encoder = from_pretrained(settings.NAME)
        check_inputs(cfg, encoder)
        return encoder
    return create_encoder(settings.ARCHITECTURE, padding=settings.PADDING, width=settings.WIDTH)


@BACKBONE_REGISTRY.register()
def build_sslhsic_backbone(cfg: CfgNode, input_shape: Any) -> SSLHSICBackbone:
    """Build a backbone with the maps MODEL.RESNETS.OUT_FEATURES, for C4 (res4) and DC5 (res5, RES5_DILATION 2)."""
    del input_shape  # always three channels
    return SSLHSICBackbone(
        encoder_of(cfg),
        cfg.MODEL.RESNETS.OUT_FEATURES,
        norm=cfg.MODEL.RESNETS.NORM,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        norm_eval=cfg.MODEL.SSLHSIC.NORM_EVAL,
        res5_dilation=cast(Literal[1, 2], cfg.MODEL.RESNETS.RES5_DILATION),
    )


@BACKBONE_REGISTRY.register()
def build_sslhsic_fpn_backbone(cfg: CfgNode, input_shape: Any) -> FPN:
    """Build the encoder under a feature pyramid with levels p2 to p6."""
    return _pyramid(cfg, build_sslhsic_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_sslhsic_retinanet_fpn_backbone(cfg: CfgNode, input_shape: Any) -> FPN:
    """Build the encoder under RetinaNet's pyramid with levels p3 to p7."""
    encoder = build_sslhsic_backbone(cfg, input_shape)
    return _pyramid(cfg, encoder, LastLevelP6P7(encoder.output_shape()["res5"].channels, cfg.MODEL.FPN.OUT_CHANNELS))


def _pyramid(cfg: CfgNode, encoder: SSLHSICBackbone, top: nn.Module) -> FPN:
    settings = cfg.MODEL.FPN
    return FPN(
        bottom_up=encoder,
        in_features=settings.IN_FEATURES,
        out_channels=settings.OUT_CHANNELS,
        norm=settings.NORM,
        top_block=top,
        fuse_type=settings.FUSE_TYPE,
    )
