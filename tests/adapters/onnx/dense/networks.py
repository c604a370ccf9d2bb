"""Dense networks with random weights, made so that their outputs differ from place to place."""

import torch
from torch import nn

from sslhsic_transfer import Encoder, create_encoder
from sslhsic_transfer.adapters.onnx import DenseNetwork
from sslhsic_transfer.adapters.torchvision import retinanet

CLASSES = ("ground", "tree", "car")


def encoder(**options) -> Encoder:
    torch.manual_seed(0)
    return create_encoder("resnet18", **options)


def stirred(network: nn.Module) -> nn.Module:
    """Set batch statistics as training leaves them, instead of zeros and ones."""
    random = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            shape = layer.running_mean.shape
            layer.running_mean.copy_(torch.randn(shape, generator=random) * 0.1)
            layer.running_var.copy_(torch.rand(shape, generator=random) + 0.5)
            layer.weight.data.copy_(torch.rand(shape, generator=random) + 0.5)
    return network.eval()


def segments(network: nn.Module, architecture: str = "fcn", framework: str = "torchvision", **options) -> DenseNetwork:
    given = {"preprocessing": encoder().preprocessing, "classes": CLASSES} | options
    return DenseNetwork(network, "segmentation", framework, architecture, "trial", **given)


def segmentor(head: str) -> nn.Module:
    """Build mmseg's segmentor as `fine_tune` does."""
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    from sslhsic_transfer.adapters.mmseg.config_runner import fit_model, head_config

    config, source = head_config(head, len(CLASSES)), encoder()
    fit_model(config, source)
    config["backbone"] |= {"model": None, "architecture": source.config.model_dump()}
    with DefaultScope.overwrite_default_scope("mmseg"):
        return stirred(MODELS.build(config))


def detector(build, **options) -> DenseNetwork:
    """Build a small torchvision detector whose scores are spread out."""
    source = encoder()
    if build is not retinanet:
        options = {"rpn_post_nms_top_n_test": 50, **options}
    network = stirred(build(source, len(CLASSES) + 1, min_size=64, max_size=100, **options))
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.endswith(("cls_score.weight", "cls_logits.weight")):
                values.mul_(10)
            if name.endswith("cls_logits.bias"):
                values.zero_()  # RetinaNet's begins with scores of 0.01
    return DenseNetwork(network, "detection", "torchvision", build.__name__, "trial", source.preprocessing, CLASSES, 1)
