"""Conversion of weights of other projects (torchvision, timm, PyTorch, JAX) to encoders, and back."""

from sslhsic_transfer.hub.convert.from_timm import convert_timm
from sslhsic_transfer.hub.convert.from_torchvision import convert_torchvision
from sslhsic_transfer.hub.convert.haiku_checkpoint import convert_byol, convert_haiku
from sslhsic_transfer.hub.convert.haiku_pretraining import convert_haiku_networks
from sslhsic_transfer.hub.convert.report import Conversion, ConversionReport
from sslhsic_transfer.hub.convert.to_detectron2 import save_detectron2, to_detectron2
from sslhsic_transfer.hub.convert.to_mmseg import save_mmseg, to_mmseg
from sslhsic_transfer.hub.convert.torch_checkpoint import convert_torch
from sslhsic_transfer.hub.pretraining_file import PretrainingState, load_pretraining, save_pretraining

__all__ = [
    "Conversion",
    "ConversionReport",
    "PretrainingState",
    "convert_byol",
    "convert_haiku",
    "convert_haiku_networks",
    "convert_timm",
    "convert_torch",
    "convert_torchvision",
    "load_pretraining",
    "save_detectron2",
    "save_mmseg",
    "save_pretraining",
    "to_detectron2",
    "to_mmseg",
]
