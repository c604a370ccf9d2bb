"""Setup of Hugging Face Accelerate from a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sslhsic_transfer._devices import default_device
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer._precision import PrecisionChoice, resolve_precision
from sslhsic_transfer.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from accelerate import Accelerator

# Accelerate's kinds of launch in which each process holds only a part of the networks.
_SPLIT = {"FSDP", "DEEPSPEED", "MEGATRON_LM"}


def build_accelerator(precision: PrecisionChoice, trackers: list[str], folder: Path) -> "Accelerator":
    """Make the Accelerator of a run.

    Args:
        precision: precision of forward passes; ``"auto"``: by the abilities of this process's device.
        trackers: names of Accelerate's trackers.
        folder: the run's folder, where trackers write their files.

    Raises:
        MissingDependencyError: Accelerate or a tracker's package is not installed.
        ConfigError: a tracker is unknown, the precision differs from the one this process has used before, the launch
            splits the networks over processes, or float16 is set on a CPU.
    """
    accelerate = optional_import("accelerate", extra="pretrain", purpose="Pretraining")
    tracking = optional_import("accelerate.tracking", extra="pretrain", purpose="Pretraining")
    known, available = (
        set(tracking.LOGGER_TYPE_TO_CLASS),
        {str(tracker) for tracker in tracking.get_available_trackers()},
    )
    for tracker in trackers:
        if tracker not in known:
            raise ConfigError(f"Unknown tracker {tracker!r}; expected some of: {', '.join(sorted(known))}.")
        if tracker not in available:
            raise MissingDependencyError(
                f"The tracker {tracker!r} is not installed: pip install {tracker}, or set trackers=[]."
            )
    on_cpu = accelerate.utils.parse_flag_from_env("ACCELERATE_USE_CPU")
    precision = resolve_precision(precision, torch.device("cpu") if on_cpu else default_device())
    try:
        accelerator: Accelerator = accelerate.Accelerator(
            mixed_precision="no" if precision == "fp32" else precision, log_with=trackers or None, project_dir=folder
        )
    except ValueError as error:
        if "AcceleratorState" not in str(error):
            raise
        raise ConfigError(
            f"precision is {precision!r}, but this process has already set up Accelerate with another: all runs of one "
            "process share its precision. Start a new process."
        ) from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ConfigError("precision=fp16 needs a GPU: on a CPU it would be float32 in silence. Use bf16 or fp32.")
    if (kind := str(accelerator.distributed_type.value)) in _SPLIT:
        raise ConfigError(
            f"Accelerate is set up for {kind}, which splits networks over processes; averages and checkpoints here "
            "need them whole. A ResNet with its target network fits any GPU: launch with --multi_gpu (DDP), and set "
            "micro_batch_size where activations do not fit."
        )
    return accelerator
