"""Settings that the adapter adds to Detectron2's, and settings that follow from an encoder."""

import sys
from pathlib import Path

import sslhsic_transfer.adapters.detectron2.compat  # before Detectron2

# isort: split
import torch
from detectron2.config import CfgNode, get_cfg

import sslhsic_transfer.adapters.detectron2.backbone
import sslhsic_transfer.adapters.detectron2.heads  # noqa: F401 - both register what the settings name
from sslhsic_transfer.adapters.detectron2.inputs import FORMAT
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder, as_encoder

CONFIGS = Path(__file__).with_name("configs")


def add_sslhsic_config(cfg: CfgNode) -> None:
    """Add MODEL.SSLHSIC, SOLVER.OPTIMIZER and SOLVER.BFLOAT16 to a configuration, and register backbones and heads.

    MODEL.BACKBONE.NAME may then be ``build_sslhsic_backbone``, ``build_sslhsic_fpn_backbone`` or
    ``build_sslhsic_retinanet_fpn_backbone``, and MODEL.ROI_HEADS.NAME ``SSLHSICRes5ROIHeads``. They respect
    MODEL.BACKBONE.FREEZE_AT, and NORM, OUT_FEATURES and RES5_DILATION of MODEL.RESNETS.

    Args:
        cfg: the configuration from `detectron2.config.get_cfg`, which is changed.
    """
    cfg.SOLVER.OPTIMIZER = "SGD"  # or "ADAMW", for `SSLHSICTrainer`
    cfg.SOLVER.BFLOAT16 = False  # whether `SSLHSICTrainer` computes forward passes in bfloat16, on any device
    cfg.MODEL.SSLHSIC = CfgNode()
    cfg.MODEL.SSLHSIC.NAME = ""  # what from_pretrained takes; empty: an untrained encoder with the next three settings
    cfg.MODEL.SSLHSIC.ARCHITECTURE = "resnet50"
    cfg.MODEL.SSLHSIC.PADDING = "torch"
    cfg.MODEL.SSLHSIC.WIDTH = 1
    cfg.MODEL.SSLHSIC.NORM_EVAL = False  # statistics are fixed, scales and offsets train
    cfg.MODEL.SSLHSIC.EXTRA_NORM = True  # extra normalization after the res5 of C4 heads, as in MoCo's protocol


def configure(cfg: CfgNode, encoder: Encoder | str | Path) -> None:
    """Set the settings that follow from an encoder: its name, its network, and the preprocessing of its input.

    Args:
        cfg: a configuration with `add_sslhsic_config` applied, which is changed.
        encoder: what `from_pretrained` takes. An `Encoder` in memory leaves NAME empty, as a configuration cannot hold
            its weights: save it first and pass the folder.
    """
    cfg.MODEL.SSLHSIC.NAME = "" if isinstance(encoder, Encoder) else str(encoder)
    encoder = as_encoder(encoder)
    cfg.MODEL.SSLHSIC.ARCHITECTURE = encoder.config.architecture
    cfg.MODEL.SSLHSIC.PADDING = encoder.config.padding
    cfg.MODEL.SSLHSIC.WIDTH = encoder.config.width
    cfg.INPUT.FORMAT = FORMAT
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = encoder.preprocessing.on_255()


def config_file(name: str) -> Path:
    """Return the file of a bundled configuration, such as ``"voc_faster_rcnn_c4_24k"``.

    Raises:
        ConfigError: there is no configuration of this name.
    """
    found = {path.stem: path for path in sorted(CONFIGS.iterdir()) if path.suffix in (".yaml", ".py")}
    if name not in found:
        raise ConfigError(f"There is no configuration {name!r}; there are {', '.join(found)}.")
    return found[name]


def load_config(name: str | Path) -> CfgNode:
    """Load Detectron2's settings with MODEL.SSLHSIC and those of a file, on the GPU if there is one.

    Args:
        name: name of a bundled YAML configuration, or the path of another one.

    Raises:
        ConfigError: there is no such configuration.
    """
    cfg = get_cfg()
    add_sslhsic_config(cfg)
    cfg.merge_from_file(str(name if Path(name).is_file() else config_file(str(name))))
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    return cfg


if __name__ == "__main__":
    print(config_file(*sys.argv[1:]))
