"""Fine-tuning of detectors on any supported data, by Detectron2's trainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
import torch
from detectron2.config import CfgNode

from sslhsic_transfer._config import flatten
from sslhsic_transfer._files import write_json, write_text
from sslhsic_transfer._precision import PRECISIONS, Precision
from sslhsic_transfer.adapters.detectron2.backbone import NORMS, Norm
from sslhsic_transfer.adapters.detectron2.config import configure, load_config
from sslhsic_transfer.adapters.detectron2.dataset import register
from sslhsic_transfer.adapters.detectron2.detector import DETECTOR_CONFIG_NAME, load_detector, save_classes
from sslhsic_transfer.adapters.detectron2.trainer import SSLHSICTrainer
from sslhsic_transfer.data.labelled.detection import DetectionData
from sslhsic_transfer.errors import CheckpointError, ConfigError, DataError, OutputExistsError
from sslhsic_transfer.hub.encoder import Encoder, create_encoder
from sslhsic_transfer.models.backbone import PARTS

Network = Literal["faster_rcnn_fpn", "faster_rcnn_c4", "retinanet"]
NETWORKS = ("faster_rcnn_fpn", "faster_rcnn_c4", "retinanet")
# Settings that a resumed run may change. Its encoder is read from its checkpoint.
_FREE = {"OUTPUT_DIR", "DATALOADER.NUM_WORKERS", "MODEL.DEVICE", "MODEL.SSLHSIC.NAME", "SOLVER.CHECKPOINT_PERIOD"}


def fine_tune(
    train: DetectionData,
    val: DetectionData | None,
    output: str | Path,
    *,
    model: Encoder | str | Path | None,
    architecture: str = "resnet50",
    network: Network = "faster_rcnn_fpn",
    sides: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
    longest_side: int = 1333,
    iterations: int = 2000,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    freeze_at: int = 0,
    norm: Norm = "BN",
    seed: int = 0,
    workers: int = 2,
    precision: Precision = "fp32",
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train a detector over an encoder, and evaluate it.

    Args:
        train: the training data; pictures without objects are left out.
        val: the data to evaluate on at the end; None: no evaluation.
        output: folder for checkpoints, settings, metrics.json and evaluation.json; `load_detector` reads it.
        model: the encoder, or what `from_pretrained` takes; None: an untrained one.
        architecture: architecture of the untrained encoder.
        network: the kind of detector.
        sides: short sides of training pictures, in pixels, one of which is drawn for each; the last is used in tests.
        longest_side: limit of the long side in pixels.
        iterations: number of steps; the learning rate is divided by 10 at 3/4 and 11/12 of them.
        batch_size: number of pictures in a step, over all processes.
        learning_rate: learning rate after the warm-up, which takes 100 steps or, if fewer, a tenth of all.
        freeze_at: parts that do not train: see `SSLHSICBackbone`.
        norm: "BN"; "SyncBN" if each process has few pictures; "FrozenBN" for one or two pictures per step.
        seed: seed of weights, order and augmentation.
        workers: number of processes that read pictures.
        precision: precision of forward passes in training; "fp16" needs a GPU.
        resume: whether to continue from the last checkpoint, if there is one. The result is that of an uninterrupted
            run.
        settings: further settings of Detectron2, such as ``{"MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 128}``, which take
            precedence.

    Returns:
        The folder.

    Raises:
        ConfigError: arguments are out of range.
        DataError: the two splits have different classes, one has no objects, or a picture's size differs from its
            annotation.
        ImageError: a picture cannot be read; the steps before it are saved.
        OutputExistsError: the folder holds a run, and ``resume`` is not set.
        CheckpointError: the folder's run has other settings.
        TrainingError: loss or weights are no longer finite; such weights are not saved.
    """
    output = Path(output)
    _check(network, sides, longest_side, iterations, batch_size, learning_rate, freeze_at, norm, seed, precision)
    if val is not None:
        if val.classes != train.classes:
            raise DataError(
                f"val: got the classes {', '.join(val.classes)}; expected train's: {', '.join(train.classes)}."
            )
        val.require_objects()
    if (output / DETECTOR_CONFIG_NAME).exists() and not resume:
        raise OutputExistsError(f"{output} holds a run already; pass resume=True, or another folder.")
    cfg = load_config(network)
    _configure_encoder(cfg, model, architecture, output)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (register(train),), ()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = len(train.classes)
    cfg.MODEL.RESNETS.NORM = norm
    cfg.MODEL.FPN.NORM = "" if norm == "FrozenBN" else norm  # new layers have no statistics to freeze
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = tuple(sides), sides[-1]
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST = longest_side
    steps = {iterations * 3 // 4, iterations * 11 // 12} - {0}  # a run of a few iterations has one or none
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = iterations, tuple(sorted(steps))
    cfg.SOLVER.WARMUP_ITERS = min(100, iterations // 10)
    cfg.SOLVER.CHECKPOINT_PERIOD = max(1, min(1000, iterations // 4))
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = batch_size, learning_rate
    cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.BFLOAT16 = precision == "fp16", precision == "bf16"
    cfg.DATALOADER.NUM_WORKERS, cfg.SEED, cfg.OUTPUT_DIR = workers, seed, str(output)
    cfg.merge_from_list([part for setting in (settings or {}).items() for part in setting])
    _same_run(cfg, output)
    save_classes(output, train.classes)
    torch.manual_seed(seed)
    SSLHSICTrainer(cfg, resume=resume).train()
    if val is not None:
        write_json(output / "evaluation.json", load_detector(output).evaluate(val))
    return output


def _configure_encoder(cfg: CfgNode, model: Encoder | str | Path | None, architecture: str, output: Path) -> None:
    """Set the encoder's settings; one in memory is saved in the run's folder, for a resumed run."""
    if model is None:
        configure(cfg, create_encoder(architecture))
    elif isinstance(model, Encoder):
        configure(cfg, model.save_pretrained(output / "encoder", overwrite=True))
    else:
        configure(cfg, model)


def _check(
    network: str,
    sides: tuple[int, ...],
    longest_side: int,
    iterations: int,
    batch_size: int,
    learning_rate: float,
    freeze_at: int,
    norm: str,
    seed: int,
    precision: str,
) -> None:
    problems = []
    if network not in NETWORKS:
        problems.append(f"network: got {network!r}; expected {', '.join(NETWORKS)}")
    if not sides or min(sides) < 32 or longest_side < max(sides):
        problems.append(
            f"sides, longest_side: got {sides} and {longest_side}; expected sides of 32 or more, none above "
            "longest_side"
        )
    if min(iterations, batch_size) < 1 or learning_rate <= 0:
        problems.append(
            f"iterations, batch_size, learning_rate: got {iterations}, {batch_size}, {learning_rate}; "
            "expected more than 0"
        )
    if freeze_at not in range(len(PARTS) + 1):
        problems.append(f"freeze_at: got {freeze_at}; expected 0 to {len(PARTS)}")
    if norm not in NORMS:
        problems.append(f"norm: got {norm!r}; expected {', '.join(NORMS)}")
    if not 0 <= seed < 2**32:
        problems.append(f"seed: got {seed}; expected 0 to 2³² − 1")
    if precision not in PRECISIONS:
        problems.append(f"precision: got {precision!r}; expected {', '.join(PRECISIONS)}")
    if precision == "fp16" and not torch.cuda.is_available():
        problems.append("precision: got 'fp16' without a GPU, which it takes; expected 'bf16' or 'fp32'")
    if problems:
        raise ConfigError("\n".join(problems))


def _same_run(cfg: CfgNode, output: Path) -> None:
    """Write the settings, or compare them with those of an existing run.

    Raises:
        CheckpointError: they differ.
    """
    path = output / DETECTOR_CONFIG_NAME
    if not path.exists():
        write_text(path, cfg.dump())
        return
    before, now = (flatten(yaml.safe_load(text)) for text in (path.read_text(encoding="utf-8"), cfg.dump()))
    if other := [key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in _FREE]:
        raise CheckpointError(
            f"{output} holds a run with other settings, which cannot be resumed with these:\n"
            + "\n".join(f"{key}: {before.get(key)} there, {now.get(key)} here" for key in sorted(other))
        )
