"""Conversion of the JAX checkpoints of SSL-HSIC and BYOL to encoders."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.conversion import Conversion, build
from sslhsic_transfer.hub.convert.haiku import read_haiku
from sslhsic_transfer.hub.convert.rebuild import Record
from sslhsic_transfer.hub.convert.unpickle import load_pickled
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing

# Both evaluate alike: cut out the center 224/256 of the short side, then resize without antialiasing; ImageNet's mean.
PREPROCESSING = Preprocessing(resize=256, crop=224, interpolation="bicubic", antialias=False, style="byol-jax")
_LARGEST_KERNEL_PARAMETER = 1024
_MOST_KERNEL_NUMBERS = 1 << 14


def convert_haiku(path: str | Path) -> Conversion[Encoder]:
    """Convert a checkpoint of the released SSL-HSIC code: ``checkpoint.npy``.

    The weights are those that the paper evaluates: the moving average of the online parameters, with the online
    network's normalization statistics. The moving average of the kernel's parameters is stored in the metadata.

    Args:
        path: the checkpoint; reading it cannot run code.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is not such a checkpoint, contains code, or does not hold a ResNet v1.5.
        UnknownArchitectureError: the ResNet has an unknown depth or width.
    """
    path = Path(path)
    checkpoint = load_pickled(path)
    if isinstance(checkpoint, Mapping) and "ema_state" not in checkpoint and "experiment_state" in checkpoint:
        raise WeightsError(f"{path} has no 'ema_state'. If it is BYOL's, use: sslhsic convert byol {path} --output DIR")
    kernel: dict[str, Any] = {
        f"{module}/{name}": value
        for module, values in section(checkpoint, ("ema_state", "kernel_params"), path).items()
        for name, value in (values.items() if isinstance(values, Mapping) else ())
        if isinstance(value, np.ndarray) and value.size <= _LARGEST_KERNEL_PARAMETER
    }
    if (count := sum(np.size(values) for values in kernel.values())) > _MOST_KERNEL_NUMBERS:
        raise WeightsError(f"{path}: the kernel has {count} parameters; expected at most {_MOST_KERNEL_NUMBERS}.")
    return _convert(
        checkpoint,
        "SSL-HSIC",
        ("ema_state", "online_params"),
        path,
        {"kernel_params": {name: values.tolist() for name, values in kernel.items()}},
    )


def convert_byol(path: str | Path) -> Conversion[Encoder]:
    """Convert a checkpoint of BYOL's code, such as its published ``pretrain_res50x1.pkl``.

    The weights are the online parameters and statistics, which BYOL evaluates.

    Args:
        path: the checkpoint; reading it cannot run code.

    Raises:
        ModelNotFoundError, WeightsError, UnknownArchitectureError: as for `convert_haiku`.
    """
    path = Path(path)
    return _convert(load_pickled(path), "BYOL", ("experiment_state", "online_params"), path, {})


def _convert(
    checkpoint: Any, method: str, weights: tuple[str, str], path: Path, metadata: dict[str, Any]
) -> Conversion[Encoder]:
    statistics = ("experiment_state", "online_state")
    parameters, state = section(checkpoint, weights, path), section(checkpoint, statistics, path)
    taken = [".".join(weights), ".".join(statistics)]
    layout = f"haiku, {method}: {' and '.join(taken)}"
    tensors, report = read_haiku(parameters, state, str(path), layout, size=path.stat().st_size)
    kept = [*taken, "ema_state.kernel_params"] if "kernel_params" in metadata else taken
    others = tuple(name for name in _entries(checkpoint) if name not in kept)
    dropped = dict(report.dropped) | ({"other entries of the file": others} if others else {})
    report = replace(report, source=path.name, dropped=dropped)
    return build(Encoder, tensors, report, PREPROCESSING, {**metadata, "source_sha256": sha256_of_file(path)})


def _entries(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the names on the first level, joined with those on the second level where there are any."""
    found = []
    for name, value in checkpoint.items():
        inner = _named(value)
        found += [f"{name}.{key}" for key in inner] if inner else [str(name)]
    return found


def section(checkpoint: Any, keys: tuple[str, ...], path: Path) -> Mapping[str, Any]:
    """Return the mapping under nested keys of a checkpoint.

    Raises:
        WeightsError: there is no such mapping; the message lists the entries that exist.
    """
    found = checkpoint
    for depth, key in enumerate(keys):
        inner = _named(found)
        if inner is None or key not in inner:
            where = ".".join(keys[:depth]) or "the file"
            has = f"has {', '.join(str(name)[:40] for name in list(inner)[:8])}" if inner else "has no names"
            raise WeightsError(
                f"{path}: expected {'.'.join(keys)}, but {where} {has}. Is it a checkpoint of this kind?"
            )
        found = inner[key]
    inner = _named(found)
    if inner is None:
        raise WeightsError(f"{path}: {'.'.join(keys)} is a {type(found).__name__}; expected module → name → array.")
    return inner


def _named(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Record):
        return value.as_dict()
    return value if isinstance(value, Mapping) else None
