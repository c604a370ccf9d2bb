"""Compatibility with several releases of mmsegmentation, mmengine and mmcv.

Two families have the same import names: ``onedl-…`` (mmseg 1.3 and later), and OpenMMLab's own (mmseg 1.2.2, mmengine
0.10.7, mmcv-lite 2.1.0). The latter was written before torch 2.6 and requires compiled operations that no head here
uses.
"""

import importlib
import sys
import warnings
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import CheckpointError, MissingDependencyError

_OPERATIONS = "mmcv._ext"


def make_ready() -> None:
    """Import mmseg's models from any supported release.

    Raises:
        MissingDependencyError: mmengine, mmcv or mmsegmentation is not installed.
    """
    packages = [
        optional_import(name, extra="mmseg", purpose="The mmsegmentation adapter")
        for name in ("mmengine", "mmcv", "mmseg")
    ]
    if _older(packages[2], (1, 3)) and find_spec(_OPERATIONS) is None:
        _pretend_operations(packages[1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*``MultiScaleDeformableAttention``")
        importlib.import_module("mmseg.models")
    torch.serialization.add_safe_globals(_plain_data())


def read_checkpoint(path: str) -> Any:
    """Read a checkpoint of mmengine onto the CPU, without running any code in it.

    Raises:
        CheckpointError: the checkpoint is damaged, or holds more than tensors and plain data.
    """
    torch.serialization.add_safe_globals(_plain_data())  # again, as mmengine removes them after its own loads
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types, depending on the damage
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of tensors and plain data ({type(error).__name__}): it is damaged, "
            "or was not written by this library. Delete it and train again."
        ) from error


def _older(package: ModuleType, than: tuple[int, int]) -> bool:
    major, minor = package.__version__.split(".")[:2]
    return (int(major), int(minor)) < than


@cache
def _plain_data() -> list[Any]:
    """List the types in mmengine's checkpoints besides tensors: histories of logged figures, which are NumPy arrays."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    def method(owner: Any, name: str) -> Any:
        """Replace ``getattr``, by which a history refers to its statistics, and refuse anything else."""
        if owner is not HistoryBuffer or name not in ("mean", "max", "min", "current"):
            raise UnpicklingError(f"Refused to read {name!r} of {owner!r}")
        return getattr(owner, name)

    method.__module__, method.__name__, method.__qualname__ = "builtins", "getattr", "getattr"  # torch checks these
    dtypes = {type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "uint32", "uint64")}
    rebuilders = [np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    return [HistoryBuffer, method, np.ndarray, np.dtype, *rebuilders, *dtypes]


class _Operations(ModuleType):
    """Replacement for compiled operations; each exists and raises an explanation when it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*arguments: Any, **options: Any) -> None:
            raise MissingDependencyError(
                f"The operation {name!r} of mmcv is not compiled: mmcv-lite is installed, and this model needs mmcv. "
                "Install it with: pip install 'mmcv>=2.0.0,<2.2.0'"
            )

        return missing


def _pretend_operations(mmcv: ModuleType) -> None:
    module = _Operations(_OPERATIONS)
    module.__spec__ = ModuleSpec(_OPERATIONS, loader=None)
    sys.modules[_OPERATIONS] = module
    mmcv._ext = module  # type: ignore[attr-defined]
