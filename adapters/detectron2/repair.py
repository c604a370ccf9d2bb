"""Repair of Detectron2 0.6 for current libraries, by changing the files of the package.

This module imports no framework, so that it can repair a package that cannot be imported yet.
"""

import re
from pathlib import Path

from sslhsic_transfer._files import write_text

_OPERATIONS = '''\
"""Stands for the compiled operations, which this Detectron2 is without: it describes itself, and refuses to compute."""


def get_compiler_version():
    return "not compiled"


def get_cuda_version():
    return "not compiled"


def has_cuda():
    return False


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"This Detectron2 has no compiled operations, and {name} is one: rotated boxes and deformable convolutions "
        "need it. Build Detectron2 from source: pip install 'git+https://github.com/facebookresearch/detectron2'"
    )
'''
_RESOURCES = '''\
"""The one function of pkg_resources that Detectron2 uses; setuptools has dropped the rest."""

import importlib.resources
import os


def resource_filename(package, path):
    return os.path.join(str(importlib.resources.files(package)), path)
'''
_ARGUMENTS = r"[^()]*(?:\([^()]*\)[^()]*)*"
_INDEXED = r'torch.meshgrid(\1, indexing="ij")'
# Names that other libraries have removed or will remove, and their replacements.
_DROPPED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bImage\.LINEAR\b"), "Image.BILINEAR"),
    (re.compile(r"\bnp\.(int|float|bool|object)\b(?!\s*=)"), r"\1"),
    (re.compile(r"^import pkg_resources$", re.MULTILINE), "from detectron2 import _resources as pkg_resources"),
    (
        re.compile(rf"\btorch\.meshgrid\((?!{_ARGUMENTS}indexing=)({_ARGUMENTS}?),?\s*\)"),
        r'torch.meshgrid(\1, indexing="ij")',
    ),
    # Caffe2 is no longer a part of PyTorch; without the code that needs it, tracing works.
    (
        re.compile(r"^from \.api import \*$", re.MULTILINE),
        "try:\n    from .api import *\nexcept ModuleNotFoundError as error:\n"
        '    if (error.name or "").split(".")[0] != "caffe2":\n        raise',
    ),
)
_COMPILED = ("_C*.so", "_C*.pyd", "_C.py")


def repair(package: Path) -> list[Path]:
    """Change a package of Detectron2 0.6 so that it works with current libraries; repaired files stay as they are.

    Args:
        package: the folder ``detectron2``, installed or not.

    Returns:
        The files that were changed, if any.
    """
    written = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        repaired = text
        for pattern, replacement in _DROPPED:
            repaired = pattern.sub(replacement, repaired)
        if repaired != text:
            write_text(path, repaired)
            written.append(path)
    if not any(found for pattern in _COMPILED for found in package.glob(pattern)):
        write_text(package / "_C.py", _OPERATIONS)
        written.append(package / "_C.py")
    resources = package / "_resources.py"
    if not resources.exists():
        write_text(resources, _RESOURCES)
        written.append(resources)
    return written
