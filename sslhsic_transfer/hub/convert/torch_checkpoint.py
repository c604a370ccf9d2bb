"""Conversion of PyTorch checkpoints of ResNets to encoders, in the layouts of `layouts.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sslhsic_transfer._config import shorten
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import ModelNotFoundError, WeightsError
from sslhsic_transfer.hub.convert.conversion import Conversion, build
from sslhsic_transfer.hub.convert.layouts import ENTRIES
from sslhsic_transfer.hub.convert.memory_limits import refuse_more_than_the_file
from sslhsic_transfer.hub.convert.state_dict import read_state
from sslhsic_transfer.hub.convert.torch_file import is_zip, load_torch
from sslhsic_transfer.hub.convert.unpickle import load_pickled
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.hub.names import refuse_address
from sslhsic_transfer.hub.safetensors_file import read_safetensors_file
from sslhsic_transfer.models.preprocessing import Preprocessing

_MOST_LEVELS = 6


def convert_torch(
    path: str | Path,
    *,
    entry: str | None = None,
    prefix: str | None = None,
    drop: Sequence[str] = (),
    padding: Literal["torch", "same"] = "torch",
    preprocessing: Preprocessing | None = None,
) -> Conversion[Encoder]:
    """Convert a PyTorch checkpoint: supervised, MoCo, DINO, SwAV, BYOL, Barlow Twins, VICReg, SimCLR, Detectron2, ….

    Args:
        path: a file of ``torch.save``, read with ``weights_only=True``; a ``.safetensors`` file; or Detectron2's
            ``.pkl``, read by `unpickle.py`.
        entry: the key under which the file stores the weights, such as ``"student"``; by default the first known one.
        prefix: the prefix of the encoder's tensors, such as ``"encoder_k."``; by default the first known one.
        drop: prefixes of names that may be left out, beyond the known heads, queues and second networks.
        padding: ``"same"`` for weights from JAX or TensorFlow; the tensors do not show it.
        preprocessing: how images become input, which such files do not record; by default the center 224 of 256 pixels,
            bicubic, with ImageNet's mean and standard deviation.

    Returns:
        The encoder, and the report of used and dropped tensors.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file cannot be read safely, does not hold a ResNet v1.5, or holds tensors that no rule
            accounts for.
        UnknownArchitectureError: the ResNet has an unknown depth, stem or width.
    """
    path = Path(path)
    state, places, others = _find_state(_read(path), str(path), entry)
    tensors, report = read_state(state, str(path), prefix=prefix, drop=drop, padding=padding)
    used = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    refuse_more_than_the_file(used, path.stat().st_size, str(path))
    report = replace(
        report,
        source=path.name,
        layout=report.layout + (f" under {' → '.join(places)}" if places else ""),
        dropped=dict(report.dropped) | ({"other entries of the file": others} if others else {}),
    )
    return build(Encoder, tensors, report, preprocessing, metadata={"source_sha256": sha256_of_file(path)})


def _read(path: Path) -> Any:
    if not path.is_file():
        refuse_address(str(path))
        raise ModelNotFoundError(
            f"There is no file {path}. Expected a checkpoint: .pth, .pt, .tar, .ckpt, .safetensors, .pkl."
        )
    if path.suffix == ".safetensors":
        return read_safetensors_file(path).tensors
    if path.suffix == ".pkl" and not is_zip(path):
        return load_pickled(path)
    return load_torch(path)


def _find_state(
    checkpoint: Any, source: str, entry: str | None
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """Return the state dict in a checkpoint, the keys that lead to it, and the other keys on the way."""
    places: list[str] = []
    others: list[str] = []
    for _ in range(_MOST_LEVELS):
        if not isinstance(checkpoint, Mapping):
            raise WeightsError(f"{source} holds a {type(checkpoint).__name__}; expected a state dict: name → tensor.")
        inner = [key for key in ENTRIES if isinstance(checkpoint.get(key), Mapping)]
        if entry is not None and entry not in places:
            if not isinstance(checkpoint.get(entry), Mapping) and not inner:
                known = ", ".join(_shown(key) for key, value in checkpoint.items() if isinstance(value, Mapping))
                raise WeightsError(f"{source} has no entry {entry!r} that holds weights; it has: {known or 'none'}.")
            inner = [entry] if isinstance(checkpoint.get(entry), Mapping) else inner
        if not inner:
            return _tensors(checkpoint, source), tuple(places), tuple(others)
        others += [".".join([*places, _shown(key)]) for key in checkpoint if key != inner[0]]
        places.append(inner[0])
        checkpoint = checkpoint[inner[0]]
    raise WeightsError(f"{source} nests its weights deeper than {_MOST_LEVELS} levels: {' → '.join(places)}.")


def _tensors(state: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    copies: dict[int, Tensor] = {}  # one copy for each array, which may have many names
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            if id(value) not in copies:
                copies[id(value)] = torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
            value = copies[id(value)]
        if not isinstance(value, Tensor) or not isinstance(name, str):
            known = ", ".join(_shown(key) for key in list(state)[:8])
            raise WeightsError(
                f"{source}: {_shown(name)!r} is a {type(value).__name__}; expected a state dict: name → tensor. The "
                f"keys here are {known}. If one of them holds the weights, name it: entry='…' or --entry …"
            )
        found[name] = value
    return found


def _shown(key: object) -> str:
    """Describe a key of any type in a few words."""
    return key[:80] if isinstance(key, str) else shorten(key)[:80]
