"""Checkpoints: one folder for each step, written atomically and without pickle: tensors in safetensors, rest in JSON.

The JSON holds the hash of the tensors' file and a hash of itself, so that a changed state is never restored.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sslhsic_transfer._files import sha256_of_file, write_json
from sslhsic_transfer._json import read_json
from sslhsic_transfer.errors import CheckpointError, SSLHSICError

_TENSORS = "state.safetensors"
_STRUCTURE = "state.json"
_NAME = re.compile(r"step-(\d{8})")
_VERSION = 2
# Checkpoints of version 1 have no hash of the JSON itself. A file with other keys than these sets is damaged.
_KEYS_OF_1 = frozenset({"step", "score", "sha256", "state"})
_KEYS = _KEYS_OF_1 | {"version", "own_sha256"}


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], *, keep: int, score: float | None = None) -> Path:
    """Write ``state`` as the checkpoint of ``step``, then remove all but the latest ``keep`` and the best.

    Args:
        folder: folder of the checkpoints.
        step: number of steps made so far.
        state: nested dicts, lists and tuples of tensors, numbers, strings, booleans and None.
        keep: number of latest checkpoints to keep.
        score: score that is highest for the best checkpoint; of equal ones the earlier is best. None: not measured.

    Returns:
        The checkpoint's folder. It gets its name only when it is complete.

    Raises:
        CheckpointError: it cannot be written, for example because the disk is full; earlier ones are kept.
    """
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    try:
        for left in folder.glob(".step-*.tmp"):  # left by a killed process
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors: dict[str, torch.Tensor] = {}
        structure = _pack(state, "", tensors)
        save_file(tensors, temporary / _TENSORS)
        with (temporary / _TENSORS).open("r+b") as file:  # Windows flushes only writable files
            os.fsync(file.fileno())
        digest = sha256_of_file(temporary / _TENSORS)
        document = {"version": _VERSION, "step": step, "score": score, "sha256": digest, "state": structure}
        write_json(temporary / _STRUCTURE, document | {"own_sha256": _hash_of(document)})
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except (OSError, SafetensorError) as error:
        earlier = ", ".join(path.name for path in list_checkpoints(folder)) or "none"
        raise CheckpointError(
            f"The checkpoint {target} cannot be written: {error}. Earlier ones are untouched ({earlier}): make "
            "room and resume."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in _superfluous(folder, keep):
        shutil.rmtree(old.rename(folder / f".{old.name}.tmp"))  # a half-removed one would look damaged
    return target


def newest_intact(folder: Path) -> Path | None:
    """Find the latest readable checkpoint, and warn of later damaged ones; return None if there are no checkpoints.

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
    """List the complete checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir())


def is_checkpoint(path: Path) -> bool:
    """Check by its name and content if a path is a checkpoint, which may be damaged."""
    return _NAME.fullmatch(path.name) is not None and (path / _TENSORS).exists()


def load_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """Read the step and the state of a checkpoint, with tensors on the CPU.

    Raises:
        CheckpointError: the checkpoint is damaged, that is, changed in any way since it was saved.
    """
    try:
        document = _read_structure(path)
        if (found := sha256_of_file(path / _TENSORS)) != document["sha256"]:
            raise CheckpointError(
                f"{path / _TENSORS} has SHA-256 {found}, not the {document['sha256']} it was saved with: damaged."
            )
        tensors = load_file(path / _TENSORS)
        state = _unpack(document["state"], tensors)
        if tensors:
            raise ValueError(f"nothing refers to the tensor {next(iter(tensors))}")
        if not isinstance(state, dict):
            raise TypeError(f"the state is a {type(state).__name__}")
        return document["step"], state
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


@contextmanager
def restoring_from(checkpoint: Path) -> Iterator[None]:
    """Convert errors that occur while a state is restored to a `CheckpointError`.

    Raises:
        CheckpointError: the state does not fit.
    """
    try:
        yield
    except SSLHSICError:
        raise
    except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"The state in {checkpoint} does not fit this run ({type(error).__name__}: {reason}): it is of another "
            "version of the library, or damaged. Move it away to go on from the one before."
        ) from error


def _read_structure(path: Path) -> dict[str, Any]:
    """Read state.json, and check it against its own hash and the folder's name."""
    file = path / _STRUCTURE
    document = read_json(file)
    if not isinstance(document, dict) or document.keys() not in (_KEYS, _KEYS_OF_1):
        raise CheckpointError(f"{file} does not hold what was saved: damaged.")
    if "version" in document:
        own = document.pop("own_sha256")
        if document["version"] != _VERSION:
            raise CheckpointError(f"{file} is of version {document['version']}; this library reads {_VERSION}.")
        if (found := _hash_of(document)) != own:
            raise CheckpointError(f"What {file} holds has SHA-256 {found}, not the {own} it was saved with: damaged.")
    name = _NAME.fullmatch(path.name)
    if type(document["step"]) is not int or (name and int(name[1]) != document["step"]):
        raise CheckpointError(f"{file} is of step {document['step']}, the folder of another: damaged.")
    return document


def _hash_of(document: dict[str, Any]) -> str:
    """Compute the SHA-256 of a JSON value in a fixed form."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _superfluous(folder: Path, keep: int) -> list[Path]:
    everything = list_checkpoints(folder)
    scores = {path: score for path in everything if (score := _score(path)) is not None}
    kept = {*everything[-keep:], max(scores, key=scores.__getitem__, default=None)}
    return [path for path in everything if path not in kept]


def _score(path: Path) -> float | None:
    try:
        score = _read_structure(path)["score"]
    except (OSError, ValueError, CheckpointError):
        return None  # a damaged one is not the best
    return score if isinstance(score, int | float) and score == score else None


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Convert a nested value to JSON, and move its tensors to ``tensors`` under their path in the value."""
    if isinstance(value, torch.Tensor):
        while name in tensors:  # {"a/b": …, "a": {"b": …}}
            name += "'"
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
    """Convert JSON back to a nested value, and remove each tensor from ``tensors``, as it may occur only once."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise TypeError("a list stands where a value was expected")
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors.pop(content)
    if kind == "dict":
        found = {key: _unpack(item, tensors) for key, item in content}
        if len(found) < len(content):
            raise ValueError("a name stands twice in a dict")
        return found
    items = [_unpack(item, tensors) for item in content]
    return {"list": list, "tuple": tuple}[kind](items)
