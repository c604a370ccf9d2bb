"""Conversion of weights of other projects (torchvision, timm, PyTorch, JAX) to encoders, and back."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.hub.convert.conversion import Conversion as Conversion
    from sslhsic_transfer.hub.convert.conversion import ConversionReport as ConversionReport
    from sslhsic_transfer.hub.convert.for_detectron2 import save_detectron2 as save_detectron2
    from sslhsic_transfer.hub.convert.for_detectron2 import to_detectron2 as to_detectron2
    from sslhsic_transfer.hub.convert.for_mmseg import save_mmseg as save_mmseg
    from sslhsic_transfer.hub.convert.for_mmseg import to_mmseg as to_mmseg
    from sslhsic_transfer.hub.convert.haiku_checkpoint import convert_byol as convert_byol
    from sslhsic_transfer.hub.convert.haiku_checkpoint import convert_haiku as convert_haiku
    from sslhsic_transfer.hub.convert.haiku_pretraining import convert_haiku_networks as convert_haiku_networks
    from sslhsic_transfer.hub.convert.libraries import convert_timm as convert_timm
    from sslhsic_transfer.hub.convert.libraries import convert_torchvision as convert_torchvision
    from sslhsic_transfer.hub.convert.torch_checkpoint import convert_torch as convert_torch
    from sslhsic_transfer.hub.pretraining_file import PretrainingState as PretrainingState
    from sslhsic_transfer.hub.pretraining_file import load_pretraining as load_pretraining
    from sslhsic_transfer.hub.pretraining_file import save_pretraining as save_pretraining

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Conversion": "sslhsic_transfer.hub.convert.conversion",
        "ConversionReport": "sslhsic_transfer.hub.convert.conversion",
        "PretrainingState": "sslhsic_transfer.hub.pretraining_file",
        "convert_byol": "sslhsic_transfer.hub.convert.haiku_checkpoint",
        "convert_haiku": "sslhsic_transfer.hub.convert.haiku_checkpoint",
        "convert_haiku_networks": "sslhsic_transfer.hub.convert.haiku_pretraining",
        "convert_timm": "sslhsic_transfer.hub.convert.libraries",
        "convert_torch": "sslhsic_transfer.hub.convert.torch_checkpoint",
        "convert_torchvision": "sslhsic_transfer.hub.convert.libraries",
        "load_pretraining": "sslhsic_transfer.hub.pretraining_file",
        "save_detectron2": "sslhsic_transfer.hub.convert.for_detectron2",
        "save_mmseg": "sslhsic_transfer.hub.convert.for_mmseg",
        "save_pretraining": "sslhsic_transfer.hub.pretraining_file",
        "to_detectron2": "sslhsic_transfer.hub.convert.for_detectron2",
        "to_mmseg": "sslhsic_transfer.hub.convert.for_mmseg",
    },
)
