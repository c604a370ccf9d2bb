"""Checkpoints: a folder a step, whole or absent, without pickle: tensors in safetensors, the rest in JSON."""

import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sslhsic_transfer._files import sha256_of_file, write_json
from sslhsic_transfer.errors import CheckpointError

_TENSORS = "state.safetensors"
_STRUCTURE = "state.json"
_NAME = re.compile(r"step-(\d{8})")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], *, keep: int, score: float | None = None) -> Path:
    """Write ``state`` as the checkpoint of ``step``, then remove all but the latest ``keep`` and the best.

    Args:
        folder: where checkpoints live.
        step: steps made so far.
        state: nested dicts, lists and tuples of tensors, numbers, strings, booleans and None.
        keep: how many of the latest stay.
        score: what the best has most of; of equal ones the earlier is best. None: not measured.

    Returns:
        The checkpoint's folder. It appears under its name only once it is complete.

    Raises:
        CheckpointError: it cannot be written, for example because the disk is full; the earlier ones stay.
    """
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors: dict[str, torch.Tensor] = {}
        structure = _pack(state, "", tensors)
        save_file(tensors, temporary / _TENSORS)
        with (temporary / _TENSORS).open("r+b") as file:  # Windows flushes what may be written to only
            os.fsync(file.fileno())
        digest = sha256_of_file(temporary / _TENSORS)
        write_json(temporary / _STRUCTURE, {"step": step, "score": score, "sha256": digest, "state": structure})
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        earlier = ", ".join(path.name for path in list_checkpoints(folder)) or "none"
        raise CheckpointError(
            f"The checkpoint {target} cannot be written: {error}. Earlier ones are untouched ({earlier}): make "
            "room and resume."
        ) from error
    for old in _superfluous(folder, keep):
        shutil.rmtree(old)
    return target


def newest_intact(folder: Path) -> Path | None:
    """The latest checkpoint that can be read, with a warning for each later one that cannot; None: there is none.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    errors = []
    for path in reversed(list_checkpoints(folder)):
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            warnings.warn(f"{error} Going back to the checkpoint before.", stacklevel=2)
            errors.append(error)
        else:
            return path
    if errors:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read. Move the folder away to begin anew."
        ) from errors[0]
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a checkpoint, by its name and what lies in it; it may be damaged."""
    return _NAME.fullmatch(path.name) is not None and (path / _TENSORS).exists()


def load_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """Read a checkpoint back: the step and the state as it was saved, tensors on the CPU.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        document = json.loads((path / _STRUCTURE).read_text(encoding="utf-8"))
        if (found := sha256_of_file(path / _TENSORS)) != document["sha256"]:
            raise CheckpointError(
                f"{path / _TENSORS} has SHA-256 {found}, not the {document['sha256']} it was saved with: damaged."
            )
        tensors = load_file(path / _TENSORS)
        state = _unpack(document["state"], tensors)
        return int(document["step"]), state
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


def _superfluous(folder: Path, keep: int) -> list[Path]:
    everything = list_checkpoints(folder)
    scores = {path: score for path in everything if (score := _score(path)) is not None}
    kept = {*everything[-keep:], max(scores, key=scores.__getitem__, default=None)}
    return [path for path in everything if path not in kept]


def _score(path: Path) -> float | None:
    try:
        score: float | None = json.loads((path / _STRUCTURE).read_text(encoding="utf-8")).get("score")
    except (OSError, ValueError, AttributeError):
        return None  # damaged: not the best
    return score


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Turn a nested value into JSON, moving tensors to ``tensors`` under the path at which they stand."""
    if isinstance(value, torch.Tensor):
        # A clone, because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint cannot hold")


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
