"""Layouts of checkpoints of other projects: the encoder's prefix, the names of its layers, the other tensors.

A layout is a prefix ("encoder_q.") and a naming of layers ("torchvision"). Tensors that belong neither to the network
nor to the table of known companions are never dropped: the conversion stops and lists them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

# Keys under which files store the weights, in the order in which they are tried on each level.
ENTRIES = (
    "state_dict",
    "model_state_dict",
    "model",
    "teacher",  # DINO evaluates its teacher
    "student",
    "classy_state_dict",  # VISSL: classy_state_dict → base_model → model → trunk
    "base_model",
    "trunk",
    "network",
    "net",
)


@dataclass(frozen=True)
class Layout:
    """The place in a checkpoint of the encoder that a method evaluates.

    Attributes:
        name: the method's or the library's name.
        prefix: the prefix of the encoder's tensors, without ``module.``.
        beside: other tensors found only in this layout, as regular expressions of the first part of a name.
    """

    name: str
    prefix: str
    beside: tuple[str, ...] = ()


# In order of preference: if a file matches two layouts, the first one gives the encoder.
LAYOUTS = (
    Layout("plain", ""),
    Layout("MoCo", "encoder_q.", beside=("encoder_k", r"queue\w*")),
    Layout("MoCo v3", "base_encoder."),
    Layout("byol-pytorch", "online_encoder.net.", beside=("net",)),  # "net" holds the same tensors again
    Layout("Lightning Bolts BYOL", "online_network.encoder."),
    Layout("lightly DINO", "teacher_backbone.", beside=(r"student_\w+", r"teacher_\w+")),
    Layout("Detectron2", "backbone.bottom_up.", beside=(r"fpn_\w+", "proposal_generator", "roi_heads", r"pixel_\w+")),
    Layout("backbone", "backbone.", beside=("bn", "neck", r"\w+_head")),  # lightly, solo-learn, DINO, VICReg, mmseg
    Layout("encoder", "encoder."),  # SimCLR, SimSiam, SupCon
    Layout("Lightning, backbone", "model.backbone."),
    Layout("Lightning, encoder", "model.encoder."),
    Layout("model", "model."),
    Layout("VISSL", "_feature_blocks."),
    Layout("trunk", "trunk."),
    Layout("net", "net."),
    Layout("resnet", "resnet."),
)

# Tensors in or next to an encoder that are not part of it: reason -> regular expressions of the first part of a name.
DROPPED: dict[str, tuple[str, ...]] = {
    "classifier or projection head": (
        "fc",
        "classifier",
        "heads?",
        "linear",
        "logits",
        "last_layer",
        r"online_(classifier|linear|predictor)",
        r"proj(ector|ection)?(_head|_mlp)?",
        r"predict(or|ion)(_head)?",
        "prototypes",
        "mlp",
    ),
    "another copy of the network": (r"momentum_\w+", r"target_\w+", r"\w+_(ema|momentum)"),
    "queue of negatives": (r"queue\w*",),
}


@dataclass(frozen=True)
class Naming:
    """A library's names for the layers of a ResNet.

    Attributes:
        name: the library's name.
        stem: the first convolution's weight.
        block: the weight of the first convolution of the first block; together with ``stem`` it identifies the naming.
        rules: regular expressions and their replacements in torchvision's names; unmatched names are not of the
            network.
    """

    name: str
    stem: str
    block: str
    rules: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

    def translate(self, name: str) -> str | None:
        """Return torchvision's name; None for a tensor that is not part of the network."""
        for pattern, replacement in self.rules:
            if match := re.fullmatch(pattern, name):
                return replacement(match) if callable(replacement) else match.expand(replacement)
        return None


NAMINGS = (
    Naming(
        "torchvision",
        "conv1.weight",
        "layer1.0.conv1.weight",
        ((r"((?:conv1|bn1|layer[1-4])\..*)", r"\1"),),
    ),
    Naming(  # nn.Sequential(*list(resnet.children())[:-1])
        "numbered",
        "0.weight",
        "4.0.conv1.weight",
        (
            (r"0\.(.*)", r"conv1.\1"),
            (r"1\.(.*)", r"bn1.\1"),
            (r"([4-7])\.(.*)", lambda match: f"layer{int(match[1]) - 3}.{match[2]}"),
        ),
    ),
    Naming(
        "Detectron2",
        "stem.conv1.weight",
        "res2.0.conv1.weight",
        (
            (r"stem\.conv1\.norm\.(.*)", r"bn1.\1"),
            (r"stem\.conv1\.(.*)", r"conv1.\1"),
            (r"res([2-5])\.(\d+)\.shortcut\.norm\.(.*)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.1.{m[3]}"),
            (r"res([2-5])\.(\d+)\.shortcut\.(.*)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.0.{m[3]}"),
            (r"res([2-5])\.(\d+)\.conv(\d)\.norm\.(.*)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.bn{m[3]}.{m[4]}"),
            (r"res([2-5])\.(\d+)\.(.*)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.{m[3]}"),
        ),
    ),
)


def reason_to_drop(name: str, layout: Layout) -> str | None:
    """Return why a tensor outside the encoder may be dropped; None if it is unknown.

    Args:
        name: the tensor's name in the file, without ``module.``.
        layout: the file's layout.
    """
    inside = bool(layout.prefix) and name.startswith(layout.prefix)
    parent = layout.prefix[:-1].rpartition(".")[0]
    first = name.removeprefix(layout.prefix if inside else f"{parent}.").split(".")[0]
    for reason, patterns in DROPPED.items():
        if any(re.fullmatch(pattern, first) for pattern in patterns):
            return reason
    if any(re.fullmatch(pattern, first) for pattern in layout.beside) and not inside:
        return f"stands beside the encoder ({layout.name})"
    return None
