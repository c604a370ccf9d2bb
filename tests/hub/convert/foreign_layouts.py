"""How each project saves a ResNet: its file, made of the state dict of torchvision's network."""

import argparse
import re

import torch


def prefixed(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def without_fc(state):
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def changed(state):
    """Make another network of the same names: it must not be the one that is taken."""
    return {name: value * 1.1 if value.is_floating_point() else value for name, value in state.items()}


def head(*names):
    return {name: torch.zeros(3, 4) for name in names}


def numbered(state):
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {
        ".".join([numbers[name.split(".")[0]], *name.split(".")[1:]]): value
        for name, value in without_fc(state).items()
    }


def detectron2(state):
    def name_of(name):
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        name = re.sub(r"layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
        name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
        return name if name.startswith("res") else f"stem.{name}"

    return {name_of(name): value for name, value in without_fc(state).items() if "num_batches" not in name}


# How each project saves; state -> what its file holds.
LAYOUTS = {
    "torchvision": lambda s: s,
    "without classifier": without_fc,
    "DataParallel": lambda s: {"state_dict": prefixed("module.", s), "epoch": 3, "arch": "resnet18"},
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "MoCo": lambda s: {
        "state_dict": prefixed("module.encoder_q.", without_fc(s) | head("fc.0.weight", "fc.2.bias"))
        | prefixed("module.encoder_k.", changed(s))
        | head("module.queue", "module.queue_ptr"),
        "optimizer": {"state": {}},
    },
    "MoCo v3": lambda s: {
        "state_dict": prefixed("module.base_encoder.", without_fc(s) | head("fc.0.weight", "fc.1.running_mean"))
        | prefixed("module.momentum_encoder.", changed(s))
        | head("module.predictor.0.weight")
    },
    "DINO, both": lambda s: {
        "student": prefixed("module.backbone.", changed(without_fc(s))) | head("module.head.mlp.0.weight"),
        "teacher": prefixed("backbone.", without_fc(s)) | head("head.mlp.0.weight", "head.last_layer.weight_g"),
        "args": argparse.Namespace(arch="resnet18"),
        "epoch": 3,
    },
    "SwAV": lambda s: prefixed("module.", without_fc(s) | head("projection_head.0.weight", "prototypes.weight")),
    "Barlow Twins": lambda s: {
        "epoch": 3,
        "model": prefixed("module.backbone.", without_fc(s))
        | head("module.projector.0.weight", "module.bn.running_mean"),
    },
    "lightly": lambda s: prefixed("backbone.", numbered(s)) | head("projection_head.layers.0.weight"),
    "lightly BYOL": lambda s: {
        "state_dict": prefixed("backbone.", numbered(s))
        | prefixed("backbone_momentum.", changed(numbered(s)))
        | head(
            "projection_head.layers.0.weight",
            "projection_head_momentum.layers.0.weight",
            "prediction_head.layers.0.weight",
        ),
        "pytorch-lightning_version": "2.0",
    },
    "solo-learn": lambda s: {
        "state_dict": prefixed("backbone.", without_fc(s))
        | prefixed("momentum_backbone.", changed(without_fc(s)))
        | head("classifier.weight", "projector.0.weight", "momentum_projector.0.weight", "queue")
    },
    "SimCLR": lambda s: prefixed("encoder.", without_fc(s)) | head("projector.0.weight"),
    "SupCon": lambda s: {"model": prefixed("encoder.module.", without_fc(s)) | head("head.0.weight")},
    "Lightning": lambda s: {"state_dict": prefixed("model.backbone.", without_fc(s)) | head("model.head.weight")},
    "Lightning Bolts": lambda s: {
        "state_dict": prefixed("online_network.encoder.", without_fc(s))
        | prefixed("target_network.encoder.", changed(without_fc(s)))
        | head("online_network.projector.model.0.weight", "predictor.model.0.weight")
    },
    "byol-pytorch": lambda s: (
        prefixed("net.", s)
        | prefixed("online_encoder.net.", s)
        | prefixed("target_encoder.net.", changed(s))
        | head("online_encoder.projector.0.weight", "online_predictor.0.weight")
    ),
    "VISSL": lambda s: {
        "classy_state_dict": {
            "base_model": {"model": {"trunk": prefixed("_feature_blocks.", without_fc(s)), "heads": {}}}
        }
    },
    "mmpretrain": lambda s: {"meta": {}, "state_dict": prefixed("backbone.", without_fc(s)) | head("head.fc.weight")},
    "mmseg": lambda s: {
        "state_dict": prefixed("backbone.", without_fc(s))
        | head("decode_head.conv_seg.weight", "auxiliary_head.x.bias")
    },
    "Detectron2": lambda s: {
        "model": prefixed("backbone.bottom_up.", detectron2(s))
        | head("backbone.fpn_lateral2.weight", "proposal_generator.x.weight", "roi_heads.x.weight", "pixel_mean")
    },
    "Detectron2, the backbone alone": lambda s: {"model": detectron2(s), "matching_heuristics": True},
}
