"""Support for Detectron2's LazyConfigs, which are written in Python."""

from typing import Any

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.config import LazyCall
from detectron2.data import DatasetMapper

from sslhsic_transfer.adapters.detectron2.backbone import Norm, SSLHSICBackbone
from sslhsic_transfer.adapters.detectron2.inputs import FORMAT
from sslhsic_transfer.adapters.detectron2.mapper import PictureMapper
from sslhsic_transfer.hub.encoder import Encoder, as_encoder, create_encoder

# Ways to name Detectron2's mapper in a configuration: the class itself, or its import path.
_DETECTRON2S = (DatasetMapper, *(f"detectron2.data.{module}DatasetMapper" for module in ("", "dataset_mapper.")))


def use_encoder(
    model: Any, dataloader: Any = None, encoder: Any = None, *, norm: Norm = "SyncBN", freeze_at: int = 0
) -> None:
    """Put an encoder under the pyramid of a lazy model, with the matching preprocessing of pictures.

    >>> use_encoder(model, dataloader, "org/name")  # or later: model.backbone.bottom_up.encoder=org/name

    Args:
        model: a lazy model with a ``backbone.bottom_up``, such as Detectron2's common/models/mask_rcnn_fpn.py.
        dataloader: the data loader of the same configuration, which is set to read RGB in training and tests.
            Detectron2's own `DatasetMapper` is replaced by `PictureMapper`; mappers of other classes are kept.
        encoder: what `from_pretrained` takes; None: an untrained ResNet-50.
        norm: as for `SSLHSICBackbone`.
        freeze_at: as for `SSLHSICBackbone`.
    """
    names = list(model.backbone.bottom_up.out_features)
    encoder = LazyCall(create_encoder)(architecture="resnet50") if encoder is None else encoder
    model.backbone.bottom_up = LazyCall(SSLHSICBackbone)(
        encoder=encoder, out_features=names, norm=norm, freeze_at=freeze_at
    )
    model.input_format = FORMAT
    for name, number in (("pixel_mean", 0), ("pixel_std", 1)):
        model[name] = LazyCall(pixel_number)(encoder="${..backbone.bottom_up.encoder}", number=number)
    for part in ("train", "test"):
        if dataloader is not None and (mapper := (dataloader.get(part) or {}).get("mapper")) is not None:
            _read_pictures(mapper)


def _read_pictures(mapper: Any) -> None:
    mapper.image_format = FORMAT
    if mapper["_target_"] in _DETECTRON2S:
        mapper["_target_"] = PictureMapper


def pixel_number(encoder: Encoder | str, number: int) -> list[float]:
    """Return ``pixel_mean`` (0) or ``pixel_std`` (1) of a lazy model, those of its encoder."""
    return as_encoder(encoder).preprocessing.on_255()[number]
