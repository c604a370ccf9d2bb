"""Pretraining state in SSL-HSIC's and BYOL's JAX checkpoints: projector, predictor, target network, kernel scale."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.conversion import build
from sslhsic_transfer.hub.convert.haiku import read_haiku
from sslhsic_transfer.hub.convert.haiku_checkpoint import section
from sslhsic_transfer.hub.convert.unpickle import load_pickled
from sslhsic_transfer.hub.pretraining_file import PretrainingState
from sslhsic_transfer.hub.tensor_checks import COUNTER, refuse_non_finite
from sslhsic_transfer.models.encoder import EncoderBase

_PARTS = ("params", "state")
_WITHOUT = "Convert without --with-heads to take the encoder alone."
# Module and array -> name in an MLP (Linear, BN, ReLU, Linear), and the array's rank without axes of length 1.
_PARAMETERS = {
    ("linear", "w"): ("0.weight", 2),
    ("linear", "b"): ("0.bias", 1),
    ("batch_norm", "scale"): ("1.weight", 1),
    ("batch_norm", "offset"): ("1.bias", 1),
    ("linear_1", "w"): ("3.weight", 2),
}
_STATE = {
    ("batch_norm/~/mean_ema", "average"): ("1.running_mean", 1),
    ("batch_norm/~/var_ema", "average"): ("1.running_var", 1),
    ("batch_norm/~/mean_ema", "counter"): (f"1.{COUNTER}", 0),
}


def convert_haiku_networks(path: str | Path) -> PretrainingState:
    """Read the pretraining state, which `convert_haiku` and `convert_byol` drop.

    The online weights are those of the last step, not their average, which only SSL-HSIC has and which its converted
    model holds. The optimizers' momenta are not taken. The classifier is not taken either: no network depends on it.

    Args:
        path: the checkpoint; reading it cannot run code.

    Returns:
        The state, with the names of `sslhsic_transfer.pretrain.networks.Learner`.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is not such a checkpoint, or an array is missing or of an unexpected shape.
        UnknownArchitectureError: the ResNet has an unknown depth or width.
    """
    path = Path(path)
    checkpoint = load_pickled(path)
    learner: dict[str, Tensor] = {}
    for network in ("online", "target"):
        parameters, state = (section(checkpoint, ("experiment_state", f"{network}_{part}"), path) for part in _PARTS)
        layout = f"haiku: {network} network"
        tensors, report = read_haiku(parameters, state, str(path), layout, size=path.stat().st_size)
        encoder = build(EncoderBase, tensors, report).encoder.state_dict()
        learner |= {f"{network}.encoder.{name}": tensor for name, tensor in encoder.items()}
        learner |= _mlp(parameters, state, "projector", f"{network}.projector", path)
        if network == "online":
            learner |= _mlp(parameters, state, "predictor", "predictor", path)
    refuse_non_finite(learner, str(path))
    if "ema_state" not in checkpoint:
        return PretrainingState(learner, None, 0)
    kernel = section(checkpoint, ("experiment_state", "kernel_params"), path)
    scale = _array(kernel, "hsic_loss", "scale", 0, path)
    return PretrainingState(learner, scale, _averaged(section(checkpoint, ("ema_state", "ema_state"), path), path))


def _averaged(modules: Mapping[str, Any], path: Path) -> int:
    """Return the number of weights in the moving averages, which must all agree."""
    found = {
        int(_tensor(module["counter"], 0, f"{path}: ema_state.ema_state, {name}/counter"))
        for name, module in modules.items()
        if isinstance(module, Mapping) and "counter" in module
    }
    if len(found) != 1:
        raise WeightsError(f"{path}: ema_state.ema_state has {len(found)} different counters; expected one. {_WITHOUT}")
    return found.pop()


def _mlp(
    parameters: Mapping[str, Any], state: Mapping[str, Any], head: str, name: str, path: Path
) -> dict[str, Tensor]:
    return {
        f"{name}.{place}": _array(nested, f"{head}/{module}", array, axes, path)
        for nested, table in ((parameters, _PARAMETERS), (state, _STATE))
        for (module, array), (place, axes) in table.items()
    }


def _array(nested: Mapping[str, Any], module: str, array: str, axes: int, path: Path) -> Tensor:
    arrays = nested.get(module)
    value = arrays.get(array) if isinstance(arrays, Mapping) else None
    return _tensor(value, axes, f"{path}: {module}/{array}")


def _tensor(value: Any, axes: int, source: str) -> Tensor:
    if not isinstance(value, np.ndarray | np.generic):
        what = "is missing" if value is None else f"is a {type(value).__name__}; expected an array of numbers"
        raise WeightsError(f"{source} {what}. {_WITHOUT}")
    value = np.asarray(value)
    if axes == 0 and value.size == 1:
        return torch.tensor(value.reshape(()).item())
    if axes == 1 and value.ndim and value.size == value.shape[-1]:
        return torch.from_numpy(value.astype(np.float32)).reshape(-1)
    if axes == 2 and value.ndim == 2:
        return torch.from_numpy(value.astype(np.float32)).T.contiguous()
    expected = {0: "one number", 1: "one number a channel", 2: "(inputs, outputs)"}[axes]
    raise WeightsError(f"{source} has shape {value.shape}; expected {expected}. {_WITHOUT}")
