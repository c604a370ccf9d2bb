"""Needs that a check may have of a machine, and the message where one is missing."""

import importlib.util
import os
import shutil
from collections.abc import Callable


def _cuda(device: str) -> str | None:
    return None if device == "cuda" else "needs CUDA"


def _package(module: str, *, called: str | None = None) -> Callable[[str], str | None]:
    def missing(device: str) -> str | None:
        return None if importlib.util.find_spec(module) else f"{called or module} is not installed"

    return missing


def _compiler(device: str) -> str | None:
    """Tell what torch.compile lacks: a C or C++ compiler, or Triton on a GPU; None if nothing."""
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    variable, names = ("CC", ("cc", "gcc", "clang")) if device == "cuda" else ("CXX", ("c++", "g++", "clang++"))
    if os.environ.get(variable) or any(map(shutil.which, names)):
        return None
    return f"there is no compiler, which torch.compile takes: {' or '.join(names)}"


def _onnxruntime_gpu(device: str) -> str | None:
    if device != "cuda":
        return "needs CUDA"
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime-gpu is not installed"
    import onnxruntime

    there = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return None if there else "onnxruntime-gpu is not installed: this onnxruntime has no CUDA provider"


# Name -> (device) -> why it is missing; None: it is there.
NEEDS: dict[str, Callable[[str], str | None]] = {
    "cuda": _cuda,
    "compiler": _compiler,
    "accelerate": _package("accelerate"),
    "detectron2": _package("detectron2"),
    "mmseg": _package("mmseg", called="mmsegmentation"),
    "onnx": _package("onnx"),
    "onnxscript": _package("onnxscript"),
    "onnxruntime": _package("onnxruntime"),
    "onnxruntime-gpu": _onnxruntime_gpu,
    "pycocotools": _package("pycocotools"),
    "scikit-learn": _package("sklearn", called="scikit-learn"),
}
