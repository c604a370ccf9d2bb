"""Export of weights in the names and file format of Detectron2's own ResNet, without Detectron2 installed."""

import pickle
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from numpy.typing import NDArray

from sslhsic_transfer._files import atomic_path, write_text
from sslhsic_transfer.errors import ConfigError, OutputExistsError
from sslhsic_transfer.hub.convert.plain_resnet import DEPTHS, differences_from_plain
from sslhsic_transfer.hub.encoder import Encoder, as_encoder
from sslhsic_transfer.models.config import EncoderConfig

Network = Literal["fpn", "c4", "resnet"]
_PREFIXES = {"fpn": "backbone.bottom_up.", "c4": "backbone.", "resnet": ""}
_RULES = (
    (r"conv1\.(.*)", r"stem.conv1.\1"),
    (r"bn1\.(.*)", r"stem.conv1.norm.\1"),
    (r"layer(\d)\.(\d+)\.bn(\d)\.(.*)", r"res\1.\2.conv\3.norm.\4"),
    (r"layer(\d)\.(\d+)\.downsample\.0\.(.*)", r"res\1.\2.shortcut.\3"),
    (r"layer(\d)\.(\d+)\.downsample\.1\.(.*)", r"res\1.\2.shortcut.norm.\3"),
    (r"layer(\d)\.(.*)", r"res\1.\2"),
)


def to_detectron2(encoder: Encoder | str | Path, network: Network = "fpn") -> dict[str, NDArray[Any]]:
    """Return weights and statistics under Detectron2's names.

    Args:
        encoder: an encoder, or a name or path for `from_pretrained`.
        network: the place of the ResNet in Detectron2's model: "fpn" below a feature pyramid (``backbone.bottom_up.``);
            "c4" in a C4 detector, with res5 in its region heads; "resnet" on its own.

    Returns:
        Name -> array. The batch norm counters are left out: Detectron2 does not use them.

    Raises:
        ConfigError: Detectron2's ResNet cannot compute the encoder's network.
    """
    encoder = as_encoder(encoder)
    _check(encoder.config, network)
    return {
        _name(name, network): value.detach().cpu().numpy()
        for name, value in encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def save_detectron2(
    encoder: Encoder | str | Path, path: str | Path, network: Network = "fpn", *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write a .pkl file for MODEL.WEIGHTS, and next to it a .yaml file with the settings that the weights require.

    Args:
        encoder: as for `to_detectron2`.
        path: the .pkl file. Its names are exact, so that Detectron2 need not guess where tensors belong.
        network: as for `to_detectron2`.
        overwrite: whether existing files may be replaced.

    Returns:
        The two files.

    Raises:
        ConfigError: as for `to_detectron2`, or the path does not end in .pkl, by which Detectron2 knows the format.
        OutputExistsError: one of the files exists.
    """
    weights = Path(path)
    if weights.suffix != ".pkl":
        raise ConfigError(
            f"Got the file {weights}; expected a name ending in .pkl, by which Detectron2 knows its format."
        )
    settings = weights.with_suffix(".yaml")
    for file in (weights, settings):
        if file.exists() and not overwrite:
            raise OutputExistsError(f"{file} already exists; pass overwrite=True (--overwrite) to replace it.")
    encoder = as_encoder(encoder)
    content = {
        "model": to_detectron2(encoder, network),
        "__author__": f"sslhsic-transfer: {encoder.name_or_path or encoder.config.architecture}",
        "matching_heuristics": False,
    }
    with atomic_path(weights) as temporary:
        temporary.write_bytes(pickle.dumps(content, protocol=4))
    write_text(settings, yaml.safe_dump(detectron2_settings(encoder, network, weights), sort_keys=False))
    return weights, settings


def detectron2_settings(encoder: Encoder, network: Network, weights: Path | None = None) -> dict[str, Any]:
    """Return the part of a Detectron2 configuration that the weights determine, to be merged into any other.

    Args:
        encoder: the encoder whose weights are used.
        network: as for `to_detectron2`.
        weights: the weights file, if there is one.
    """
    depth = DEPTHS[encoder.config.architecture]
    mean, std = encoder.preprocessing.on_255()
    resnet: dict[str, Any] = {"DEPTH": depth, "STRIDE_IN_1X1": False, "NORM": "SyncBN"}
    if depth < 50:
        resnet["RES2_OUT_CHANNELS"] = 64
    name = "build_resnet_fpn_backbone" if network == "fpn" else "build_resnet_backbone"
    model = {"BACKBONE": {"NAME": name, "FREEZE_AT": 0}, "RESNETS": resnet, "PIXEL_MEAN": mean, "PIXEL_STD": std}
    return {"MODEL": ({"WEIGHTS": str(weights)} if weights else {}) | model, "INPUT": {"FORMAT": "RGB"}}


def _name(name: str, network: Network) -> str:
    pattern, replacement = next(rule for rule in _RULES if re.fullmatch(rule[0], name))
    ours = re.sub(pattern, replacement, name)
    ours = re.sub(r"^res(\d)", lambda match: f"res{int(match[1]) + 1}", ours)
    if network == "c4" and ours.startswith("res5."):
        return f"roi_heads.{ours}"
    return _PREFIXES[network] + ours


def _check(config: EncoderConfig, network: str) -> None:
    """Refuse a network that Detectron2's ResNet cannot compute.

    Raises:
        ConfigError: the network differs; the message lists all differences.
    """
    problems = differences_from_plain(config, "Detectron2")
    if network not in _PREFIXES:
        problems.insert(0, f"network: got {network!r}; expected {', '.join(_PREFIXES)}")
    if network == "c4" and DEPTHS.get(config.architecture, 50) < 50:
        problems.append(f"architecture: got {config.architecture!r}; Detectron2's C4 heads have bottleneck blocks only")
    if problems:
        raise ConfigError(
            "Detectron2's own ResNet cannot compute what this encoder does; SSLHSICBackbone can in most cases.\n"
            + "\n".join(problems)
        )
