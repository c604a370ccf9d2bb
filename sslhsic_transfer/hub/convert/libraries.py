"""Conversion of the models of torchvision and timm, by name or from memory."""

from typing import Any

from torch import nn

from sslhsic_transfer.hub.convert.conversion import Conversion
from sslhsic_transfer.hub.convert.from_timm import read_timm
from sslhsic_transfer.hub.convert.from_torchvision import read_torchvision
from sslhsic_transfer.hub.encoder import Encoder


def convert_torchvision(model: str | nn.Module, weights: Any = "DEFAULT") -> Conversion[Encoder]:
    """Convert a torchvision ResNet.

    Args:
        model: a name, such as ``"resnet50"``, or a network, such as a fine-tuned one.
        weights: for a name: torchvision's name of its weights, such as ``"IMAGENET1K_V1"`` or ``"DEFAULT"``, or the
            member of its enumeration; None for random weights. Torchvision downloads them if its cache lacks them. For
            a network: the weights that it started from, by name or member, whose preprocessing is used. "DEFAULT" and
            None then give this library's default preprocessing.

    Returns:
        The encoder, with the preprocessing of the weights, and the report.

    Raises:
        UnknownArchitectureError: the model is not a ResNet v1.5.
        ModelNotFoundError: there are no such weights, or they cannot be downloaded.
        WeightsError: the network differs from torchvision's in names, shapes or features.
    """
    return read_torchvision(Encoder, model, weights)


def convert_timm(model: str | nn.Module, *, pretrained: bool = True) -> Conversion[Encoder]:
    """Convert a timm ResNet, ConvNeXt or Vision Transformer.

    The encoder's features of a fixed input are compared with timm's, so that a variant with the same names and shapes
    but other strides, padding, activations or blurs is refused.

    Args:
        model: a name for ``timm.create_model``, such as ``"resnet50.a1_in1k"`` or ``"hf_hub:org/name"``; or a timm
            model.
        pretrained: for a name: whether to load its weights, which timm downloads if its cache lacks them.

    Returns:
        The encoder, with the preprocessing, license and source of timm's ``pretrained_cfg``, and the report.

    Raises:
        MissingDependencyError: timm is not installed.
        ModelNotFoundError: timm has no such model or weights, or they cannot be downloaded.
        UnknownArchitectureError: the model is of another family.
        WeightsError: the model is a ResNet, but not v1.5 with the standard stem.
        ConfigError: the model's preprocessing cannot be expressed.
    """
    return read_timm(Encoder, model, pretrained=pretrained)
