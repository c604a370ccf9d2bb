"""Fine-tuning by mmengine's Runner, without a config file."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import ConfigDict
from mmengine.device import get_device
from torch import nn

from sslhsic_transfer._config import flatten
from sslhsic_transfer._files import atomic_path, json_text, write_text
from sslhsic_transfer._precision import Precision
from sslhsic_transfer.adapters.mmseg.backbone import source_encoder
from sslhsic_transfer.adapters.mmseg.compat import read_checkpoint
from sslhsic_transfer.adapters.mmseg.config_runner import SSLHSICRunner, fit_model, head_config, pipelines
from sslhsic_transfer.adapters.mmseg.dataset import SSLHSICDataset
from sslhsic_transfer.adapters.mmseg.divergence import DivergenceHook
from sslhsic_transfer.adapters.mmseg.inference import SEGMENTOR_CONFIG_NAME, SEGMENTOR_WEIGHTS_NAME, read_config
from sslhsic_transfer.adapters.mmseg.precision import OPTIM_WRAPPER_TYPES
from sslhsic_transfer.adapters.mmseg.resuming import LatestCheckpointHook, checkpoints
from sslhsic_transfer.data.labelled.segmentation import SegmentationData
from sslhsic_transfer.errors import CheckpointError, ConfigError, DataError, OutputExistsError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import OutputStride

Network = Literal["fcn", "deeplabv3plus", "upernet"]
NETWORKS = ("fcn", "deeplabv3plus", "upernet")
Schedule = Literal["poly", "cosine", "steps"]
_SCHEDULES = ("poly", "cosine", "steps")
_OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {"adamw": {"type": "AdamW"}, "sgd": {"type": "SGD", "momentum": 0.9}}


def fine_tune(
    train: SegmentationData,
    val: SegmentationData | None,
    output: str | Path,
    *,
    model: Encoder | str | Path | None = None,
    architecture: str | Mapping[str, Any] | None = None,
    network: Network = "fcn",
    crop: tuple[int, int] = (512, 512),
    scale: tuple[float, float] = (0.5, 2.0),
    resize: int | None = None,
    color_jitter: float = 0.0,
    iterations: int = 2000,
    batch_size: int = 8,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    learning_rate: float = 2e-4,
    weight_decay: float = 1e-4,
    schedule: Schedule = "poly",
    warmup: int = 0,
    clip_gradient: float = 0.0,
    output_stride: OutputStride = 16,
    freeze_at: int = 0,
    norm_eval: bool = False,
    seed: int = 0,
    workers: int = 2,
    precision: Precision = "fp32",
    checkpoint_every: int | None = None,
    log_every: int = 50,
    resume: bool = False,
) -> Path:
    """Train a segmentor over an encoder, and save it for `load_segmentor`.

    Pictures are scaled, cropped, color-jittered and flipped at random; mmengine chooses the device.

    Args:
        train: the training data.
        val: the data to evaluate on, by mmseg's IoUMetric, after every ``checkpoint_every`` iterations; results are in
            ``vis_data/`` of the output's folder of logs. None: no evaluation.
        output: folder to write, with ``config.json``, ``model.pth``, mmengine's latest checkpoint and logs.
        model: an encoder, or what `from_pretrained` takes; None for an untrained network.
        architecture: architecture of the untrained network, as for `SSLHSICEncoder`.
        network: the head over the encoder, a file of ``configs/_base_/models``.
        crop: (height, width) of training crops, in pixels.
        scale: range of the random factor before the crop.
        resize: short side in pixels that the factor multiplies; None: the picture's own.
        color_jitter: strength of brightness, contrast and saturation; 0: none.
        iterations: number of batches to train on.
        batch_size: number of pictures in a batch.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: learning rate at the end of the warm-up.
        weight_decay: weight decay, which is not applied to biases and normalization.
        schedule: decay of the rate: to 0 by a polynomial of power 0.9 or a cosine, or to a tenth at 70 % and at 90 %.
        warmup: number of iterations of linear warm-up.
        clip_gradient: largest norm of the gradient; 0: not clipped.
        output_stride: stride of the last map, by dilation; UPerNet usually has 32.
        freeze_at: parts that do not train: see `DenseBackbone`.
        norm_eval: whether the encoder's statistics stay fixed.
        seed: seed of initial weights, order and crops.
        workers: number of processes that load pictures; 0: none.
        precision: precision of forward passes; "fp16" needs an accelerator.
        checkpoint_every: iterations between evaluations and checkpoints; by default a fifth of all.
        log_every: iterations between lines of mmengine's log, whose losses are means over ten.
        resume: whether to continue from the last checkpoint in ``output``, if there is one. The result is that of a run
            that never stopped.

    Returns:
        ``output``.

    Raises:
        ConfigError: arguments are invalid; the message lists all of them.
        DataError: the two splits have different classes, or a mask and its picture different sizes.
        ImageError: a picture cannot be read; the state after the last step is saved.
        OutputExistsError: ``output`` holds a run, and ``resume`` is not set.
        CheckpointError: the checkpoint to resume from is damaged, or its run has other settings.
        TrainingError: loss or weights are no longer finite; such weights are not saved.
        ModelNotFoundError, HubError, WeightsError: as for `from_pretrained`.
    """
    output, crop = Path(output), (crop[0], crop[1])
    checkpoint_every = checkpoint_every or max(1, iterations // 5)
    _check(
        network, optimizer, schedule, warmup, (iterations, batch_size, checkpoint_every, log_every, *crop), precision
    )
    if val is not None and train.classes != val.classes:
        raise DataError(f"The classes differ: {train.classes} to train on, {val.classes} to measure.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # seeds an untrained network; mmengine seeds the rest
        encoder = source_encoder(model, architecture)
    segmentor = head_config(network, len(train.classes))
    segmentor["data_preprocessor"]["size"] = crop
    fit_model(segmentor, encoder)
    backbone = segmentor["backbone"]
    del backbone["model"]
    backbone |= {
        "architecture": encoder.config.model_dump(),
        "output_stride": output_stride,
        "frozen_stages": freeze_at - 1,
        "norm_eval": norm_eval,
    }
    train_pipeline, test_pipeline = pipelines(crop, scale=scale, short_side=resize, color_jitter=color_jitter)
    training: dict[str, Any] = {
        "train_dataloader": {
            "batch_size": batch_size,
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "InfiniteSampler", "shuffle": True},
        },
        "optim_wrapper": {
            "type": OPTIM_WRAPPER_TYPES[precision],
            "optimizer": {**_OPTIMIZERS[optimizer], "lr": learning_rate, "weight_decay": weight_decay},
            "paramwise_cfg": {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0},
            "clip_grad": {"max_norm": clip_gradient} if clip_gradient else None,
        },
        "param_scheduler": _schedulers(schedule, warmup, iterations),
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": checkpoint_every},
        "randomness": {"seed": seed},
    }
    config = {"default_scope": "mmseg", "model": segmentor, "test_pipeline": test_pipeline, "training": training}
    latest = _claim(output, json_text(config), resume)

    training["train_dataloader"]["dataset"] = _dataset(train, train_pipeline)
    measuring: dict[str, Any] = {}
    if val is not None:
        measuring = {
            "val_dataloader": {
                "batch_size": 1,
                "num_workers": workers,
                "sampler": {"type": "DefaultSampler", "shuffle": False},
                "dataset": {**_dataset(val, test_pipeline), "test_mode": True},
            },
            "val_cfg": {},
            "val_evaluator": {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
        }
    causes = f"learning_rate ({learning_rate}) too high, warmup ({warmup}) too short, clip_gradient ({clip_gradient})"
    runner = SSLHSICRunner(
        model=ConfigDict({**segmentor, "backbone": {**backbone, "model": encoder}}),
        work_dir=str(output),
        **training,
        **measuring,
        custom_hooks=[DivergenceHook((log_every, checkpoint_every), causes)],
        default_hooks={
            "logger": {
                "type": "LoggerHook",
                "interval": min(log_every, checkpoint_every),
                "log_metric_by_epoch": False,
            },
            "checkpoint": LatestCheckpointHook(checkpoint_every),
        },
        log_processor={"by_epoch": False},
        log_level="ERROR",
        visualizer={"type": "Visualizer", "vis_backends": [{"type": "LocalVisBackend"}]},
        default_scope="mmseg",
        load_from=latest and str(latest),
        resume=latest is not None,
        experiment_name=f"fine-tune-{uuid.uuid4().hex[:8]}",  # names are global in mmengine
    )
    _save(runner.train(), train.classes, output)
    return output


def _check(network: str, optimizer: str, schedule: str, warmup: int, positive: tuple[int, ...], precision: str) -> None:
    problems = [
        f"{name}: got {value!r}; expected one of {', '.join(known)}"
        for name, value, known in (
            ("network", network, NETWORKS),
            ("optimizer", optimizer, _OPTIMIZERS),
            ("schedule", schedule, _SCHEDULES),
            ("precision", precision, OPTIM_WRAPPER_TYPES),
        )
        if value not in known
    ]
    if min(positive) < 1:
        problems.append(
            f"iterations, batch_size, checkpoint_every, log_every, crop: got {positive}; expected 1 or more of each"
        )
    if not 0 <= warmup < positive[0]:
        problems.append(f"warmup: got {warmup}; expected 0 or more, and fewer than iterations, {positive[0]}")
    if precision == "fp16" and get_device() == "cpu":
        problems.append("precision: got 'fp16' without an accelerator; expected 'bf16' or 'fp32' on a CPU")
    if problems:
        raise ConfigError("\n".join(problems))


def _dataset(data: SegmentationData, pipeline: list[Any]) -> dict[str, Any]:
    return {"type": SSLHSICDataset.__name__, "data": data, "pipeline": pipeline}


def _schedulers(name: str, warmup: int, iterations: int) -> list[dict[str, Any]]:
    start = {"type": "LinearLR", "start_factor": 1 / (warmup + 1), "begin": 0, "end": warmup, "by_epoch": False}
    before = [start] if warmup else []
    if name == "steps":
        milestones = [round(0.7 * iterations), round(0.9 * iterations)]
        return [*before, {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.1, "by_epoch": False}]
    kind = {"type": "PolyLR", "power": 0.9} if name == "poly" else {"type": "CosineAnnealingLR"}
    return [*before, {**kind, "begin": warmup, "end": iterations, "by_epoch": False, "eta_min": 0.0}]


def _claim(output: Path, config: str, resume: bool) -> Path | None:
    """Write the config, or check that a run to resume has the same; return the latest checkpoint, if there is one."""
    path = output / SEGMENTOR_CONFIG_NAME
    if not path.exists():
        write_text(path, config)
        return None
    if not resume:
        raise OutputExistsError(f"{output} holds a run already: choose another folder, or resume=True to go on.")
    before = read_config(path)
    if _shaping(before) != _shaping(json.loads(config)):
        raise CheckpointError(f"{output} is of a run with other settings (see {path.name}): repeat those to go on.")
    write_text(path, json_text(before))  # an older version's config may have named mmseg's reader of pictures
    latest = next(reversed(checkpoints(output)), None)
    if latest is not None:
        _require_trusted(latest)
    return latest


def _require_trusted(checkpoint: Path) -> None:
    """Check that a checkpoint is one of a run here, since mmengine would run code in it, pickled or in a config."""
    content = read_checkpoint(str(checkpoint))
    meta = content.get("meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not {"state_dict", "optimizer"} <= content.keys() or "iter" not in meta:
        raise CheckpointError(f"{checkpoint} is no checkpoint of a run. Delete it.")
    if "config" in meta:
        raise CheckpointError(
            f"{checkpoint} holds a config to be run, which no checkpoint of this library does. Delete it."
        )


def _shaping(config: Mapping[str, Any]) -> dict[str, Any]:
    """Select the settings that affect the result: all but the number of workers and the interval of checkpoints."""
    free = {"num_workers", "persistent_workers", "val_interval"}
    return {key: value for key, value in flatten(config).items() if key.rpartition(".")[2] not in free}


def _save(model: nn.Module, classes: tuple[str, ...], output: Path) -> None:
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    meta = {"dataset_meta": {"classes": list(classes)}}
    with atomic_path(output / SEGMENTOR_WEIGHTS_NAME) as temporary:
        torch.save({"state_dict": state, "meta": meta}, temporary)
