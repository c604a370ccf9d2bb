"""An encoder as a backbone of mmsegmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from sslhsic_transfer._config import validate
from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.adapters.report import load_encoder
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder, as_encoder
from sslhsic_transfer.models.backbone import PARTS, OutputStride
from sslhsic_transfer.models.config import STAGES, EncoderConfig

_NORMS = ("BN", "SyncBN")


@MODELS.register_module()
class SSLHSICEncoder(DenseBackbone, BaseModule):
    """An encoder as an mmseg backbone, which returns feature maps from fine to coarse.

    Its state dict has torchvision's names. With the defaults its maps are the encoder's.

    >>> backbone = MODELS.build(dict(type="SSLHSICEncoder", model="org/name", frozen_stages=1)).eval()
    >>> c2, c3, c4, c5 = backbone(images)

    Args:
        model: what `from_pretrained` takes, or an encoder, which is copied; None for an untrained network.
        architecture: the untrained network: a name such as ``"resnet18"``, or the fields of `EncoderConfig`. Together
            with ``model`` it is the architecture that the model must have.
        out_indices: the maps to return: 0 for c2 … 3 for c5.
        output_stride: stride of the last map for an ImageNet stem: 32, or 16 or 8 by dilating the last stages.
        frozen_stages: parts that do not train and keep their statistics: -1: none, 0: the stem, 1: the stem and c2 …
        norm_eval: whether batch statistics stay fixed everywhere (their scales and offsets still train).
        norm_cfg: the kind of normalization, ``"BN"`` or ``"SyncBN"``, and whether its scales and offsets train.
        init_cfg: ``dict(type="Pretrained", checkpoint=…)``, mmseg's form of ``model``.

    Attributes:
        report: report of the loaded weights.

    Raises:
        ConfigError: an argument is out of range, or there is nothing or more than one thing to load.
        ModelNotFoundError, HubError, WeightsError: as for `from_pretrained`.
    """

    def __init__(
        self,
        model: Encoder | str | Path | None = None,
        *,
        architecture: str | Mapping[str, Any] | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        output_stride: OutputStride = 32,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        norm_cfg = {"type": "BN", "requires_grad": True, **(norm_cfg or {})}
        _check(out_indices, frozen_stages, norm_cfg)
        encoder = source_encoder(model, architecture, init_cfg)
        stages = [STAGES[index] for index in out_indices]
        super().__init__(encoder, stages, output_stride=output_stride, freeze_at=frozen_stages + 1, norm_eval=norm_eval)
        self._given = [encoder]  # in a list, so that it is not registered as a submodule
        if norm_cfg["type"] == "SyncBN":
            nn.SyncBatchNorm.convert_sync_batchnorm(self)
        if not norm_cfg["requires_grad"]:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.requires_grad_(False)

    def init_weights(self) -> None:
        """Restore the encoder's weights, in case the initialization of the whole segmentor has changed them."""
        if self._given:
            load_encoder(self, self._given.pop())
        super().init_weights()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Map normalized pictures (B, 3, H, W) to a map (B, C, ⌈H/stride⌉, ⌈W/stride⌉) for each of ``out_indices``."""
        return tuple(super().forward(images).values())


def source_encoder(
    model: Encoder | str | Path | None,
    architecture: str | Mapping[str, Any] | None,
    init_cfg: Mapping[str, Any] | None = None,
) -> Encoder:
    """Load or make the encoder that a backbone's arguments describe; see `SSLHSICEncoder`.

    Raises:
        ConfigError: there is nothing or more than one thing to load, or the model has another architecture.
    """
    if init_cfg is not None:
        if init_cfg.get("type") != "Pretrained" or set(init_cfg) != {"type", "checkpoint"} or model is not None:
            raise ConfigError(
                f"init_cfg: got {dict(init_cfg)} with model={model!r}; expected dict(type='Pretrained', "
                "checkpoint=NAME_OR_PATH), and no model beside it."
            )
        model = init_cfg["checkpoint"]
    settings = {"architecture": architecture} if isinstance(architecture, str) else architecture
    wanted = validate(EncoderConfig, settings, source="The backbone's architecture") if settings else None
    if model is not None:
        encoder = as_encoder(model)
        if wanted not in (None, encoder.config):
            raise ConfigError(
                f"{model} is {encoder.config!r}; expected {wanted!r}, as the backbone's architecture says."
            )
        return encoder
    if wanted is None:
        raise ConfigError(
            "The backbone has no weights: give model=NAME_OR_PATH (--cfg-options model.backbone.model=…), or "
            "architecture='resnet50' for an untrained network."
        )
    return Encoder(wanted)


def _check(out_indices: Sequence[int], frozen_stages: int, norm_cfg: Mapping[str, Any]) -> None:
    problems = []
    if not out_indices or list(out_indices) != sorted(set(out_indices) & set(range(len(STAGES)))):
        problems.append(f"out_indices: got {tuple(out_indices)}; expected some of (0, 1, 2, 3), in this order")
    if frozen_stages not in range(-1, len(PARTS)):
        problems.append(f"frozen_stages: got {frozen_stages}; expected -1 to {len(PARTS) - 1}")
    if norm_cfg["type"] not in _NORMS or set(norm_cfg) != {"type", "requires_grad"}:
        problems.append(f"norm_cfg: got {dict(norm_cfg)}; expected the type {' or '.join(_NORMS)}, and requires_grad")
    if problems:
        raise ConfigError("\n".join(problems))
