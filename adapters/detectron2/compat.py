"""Compatibility of Detectron2 0.6 with current libraries; importing this module prepares everything.

Every module of the adapter imports this one before it imports Detectron2. Later versions of Detectron2 only need a
replacement for pkg_resources if setuptools lacks it.
"""

import importlib
import importlib.machinery
import importlib.resources
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from sslhsic_transfer.errors import MissingDependencyError

INSTALL = "pip install 'sslhsic-transfer[detectron2]' && python -m sslhsic_transfer.adapters.detectron2.install"
_COMPILED = "detectron2._C"


def prepare() -> None:
    """Make Detectron2 importable.

    Raises:
        MissingDependencyError: Detectron2, or a package that it needs, is not installed.
    """
    try:
        _import_layers()
        if not hasattr(importlib.import_module("detectron2.layers.wrappers"), "move_device_like"):
            _prepare_old()
        if importlib.util.find_spec("pkg_resources") is None:
            _import_model_zoo()
    except ModuleNotFoundError as error:
        package = (error.name or "detectron2").split(".")[0]
        raise MissingDependencyError(
            f"The Detectron2 adapter needs the package {package!r}, which is not installed. Install it with: {INSTALL}"
        ) from error


def _import_layers() -> None:
    """Import the layers; version 0.6 requires its compiled operations, which later versions do not."""
    try:
        importlib.import_module("detectron2.layers")
    except ImportError as error:
        if error.name != "detectron2" or "_C" not in str(error):
            raise
        package: Any = importlib.import_module("detectron2")
        package._C = sys.modules[_COMPILED] = _no_operations()
        importlib.import_module("detectron2.layers")


def _no_operations() -> ModuleType:
    """Make a module that replaces the compiled operations; it has a description, but its operations raise errors."""
    module: Any = ModuleType(_COMPILED)
    module.__spec__ = importlib.machinery.ModuleSpec(_COMPILED, loader=None)
    module.get_compiler_version = module.get_cuda_version = lambda: "not compiled"
    module.has_cuda = lambda: False

    def refuse(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingDependencyError(
            f"This Detectron2 has no compiled operations, and {name} is one: rotated boxes and deformable convolutions "
            "need it. Build Detectron2 from source: pip install "
            "'git+https://github.com/facebookresearch/detectron2'"
        )

    module.__getattr__ = refuse
    return module


def _prepare_old() -> None:
    """Add names that other libraries have removed since Detectron2 0.6."""
    if not hasattr(Image, "LINEAR"):
        Image.LINEAR = Image.Resampling.BILINEAR  # type: ignore[attr-defined]
    for name, kind in (("int", int), ("float", float), ("bool", bool), ("object", object)):
        if name not in vars(np):
            setattr(np, name, kind)
    anchors: Any = importlib.import_module("detectron2.modeling.anchor_generator")
    anchors._create_grid_offsets = _grid_offsets


def _import_model_zoo() -> None:
    """Import the model zoo with a temporary pkg_resources, which it needs for one path and setuptools has removed.

    Other packages that look for pkg_resources do not find this replacement.
    """
    resources: Any = ModuleType("pkg_resources")
    resources.resource_filename = lambda package, path: str(Path(str(importlib.resources.files(package)), path))
    sys.modules["pkg_resources"] = resources
    try:
        importlib.import_module("detectron2.model_zoo")
    finally:
        del sys.modules["pkg_resources"]


def _grid_offsets(
    size: tuple[int, int], stride: int, offset: float, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute x and y of each cell of a grid; 0.6's own function lacks ``indexing``, which torch will require.

    Args:
        size: height and width in cells.
        stride: stride of the cells, in pixels.
        offset: offset of the first cell, in strides.
        device: device of the two results, (height · width,) float32 each.
    """
    along = [
        torch.arange(offset * stride, count * stride, step=stride, dtype=torch.float32, device=device) for count in size
    ]
    y, x = torch.meshgrid(*along, indexing="ij")
    return x.reshape(-1), y.reshape(-1)


prepare()
