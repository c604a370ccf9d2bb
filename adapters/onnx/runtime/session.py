"""ONNX Runtime sessions, with a choice of providers and as many threads as the container allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer.adapters.onnx.runtime.given import MOST_FIXED
from sslhsic_transfer.adapters.onnx.runtime.model_file import ModelFile
from sslhsic_transfer.errors import ConfigError, InputError, ModelFileError


@dataclass(frozen=True)
class Provider:
    """An execution provider of ONNX Runtime.

    Attributes:
        full: ONNX Runtime's own name for it.
        package: the package that contains it.
    """

    full: str
    package: str


PROVIDERS: dict[str, Provider] = {
    "tensorrt": Provider("TensorrtExecutionProvider", "onnxruntime-gpu, and TensorRT itself"),
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": Provider("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "cpu": Provider("CPUExecutionProvider", "onnxruntime"),
}
Ranked = tuple[str, tuple[int | None, ...]]  # type of numbers, and sides
_USUAL = ("cuda", "cpu")  # others on request only: tensorrt compiles for minutes, openvino and coreml round differently


@dataclass(frozen=True)
class ProviderReport:
    """Report of the providers in use, and of those left out.

    Attributes:
        used: providers in use, in order of preference for each operator.
        left_out: the reason for each provider left out, by name.
    """

    used: tuple[str, ...]
    left_out: dict[str, str]

    def __str__(self) -> str:
        lines = [f"ONNX Runtime runs on {', '.join(self.used)}"]
        return "; ".join([*lines, *(f"not on {name}: {why}" for name, why in self.left_out.items())])


def open_session(
    model: ModelFile, providers: Sequence[str] | None = None, threads: int | None = None
) -> tuple[Any, ProviderReport]:
    """Make a session of an inspected file.

    Args:
        model: the file; the session runs the bytes that were inspected.
        providers: names of `PROVIDERS` in order of preference; those not available are left out, and the CPU is used
            instead. None: CUDA if available, else the CPU.
        threads: number of threads of one operator; None: as many as this process may use within a container's quota.

    Raises:
        ConfigError: a provider is unknown, or there is less than one thread.
        ModelFileError: ONNX Runtime cannot use the file.
        MissingDependencyError: onnxruntime is not installed.
    """
    ort = optional_import("onnxruntime", extra="onnx", purpose="Running ONNX files")
    chosen, left_out = _available(ort, providers)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only, as the report tells what was left out
    options.intra_op_num_threads = _threads(threads)
    source: Any = model.content
    if model.beside and not hasattr(options, "add_external_initializers_from_files_in_memory"):
        source = str(model.path)  # older ONNX Runtimes map the files beside it
    elif model.beside:  # pass inspected bytes, as a mapped file that is truncated would end the process
        contents = list(model.beside.values())
        options.add_external_initializers_from_files_in_memory(
            [path.name for path in model.beside], contents, [len(content) for content in contents]
        )
    names = [PROVIDERS[name].full for name in chosen]
    try:
        session = ort.InferenceSession(source, options, providers=names)
    except Exception as error:  # ONNX Runtime's errors have no common class but Exception
        raise ModelFileError(f"{model.path} cannot be run: {_first_line(error)}") from error
    used = set(session.get_providers())
    for name in [name for name in chosen if PROVIDERS[name].full not in used]:
        left_out[name] = "ONNX Runtime could not start it (its libraries or a device are missing)"
    return session, ProviderReport(tuple(name for name in chosen if name not in left_out), left_out)


def check_interface(session: Any, floating: bool, outputs: Mapping[str, Ranked], path: Path) -> None:
    """Check a session's inputs and outputs against its file's metadata.

    Args:
        session: a session of ONNX Runtime.
        floating: whether its input is float32 (B, 3, H, W), not uint8 (B, H, W, 3).
        outputs: type and sides of each output by name; a side of None may be any.
        path: the file.

    Raises:
        ModelFileError: they differ.
    """
    names = tuple(output.name for output in session.get_outputs())
    if names != tuple(outputs) or len(session.get_inputs()) != 1:
        raise ModelFileError(
            f"{path} gives {', '.join(names)[:200]}, and its metadata name {', '.join(outputs)}. Export it again."
        )
    (given,) = session.get_inputs()
    wanted = ("tensor(float)", (None, 3, None, None)) if floating else ("tensor(uint8)", (None, None, None, 3))
    for role, port, (kind, sides) in (
        ("takes", given, wanted),
        *(("gives", output, outputs[output.name]) for output in session.get_outputs()),
    ):
        found = port.shape or ()
        fits = len(found) == len(sides) and all(
            not isinstance(side, int) or asked in (None, side) for side, asked in zip(found, sides, strict=True)
        )
        if port.type != kind or not fits:
            raise ModelFileError(
                f"{path} {role} {port.name!r} as {port.type} of sides {list(found)[:8]}; by its metadata expected "
                f"{kind} of sides {_shown(sides)}. Export it again."
            )


def run_session(session: Any, images: NDArray[Any], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Compute some of a session's outputs, by name.

    Raises:
        InputError: ONNX Runtime cannot run the images.
    """
    try:
        values = session.run(list(outputs), {session.get_inputs()[0].name: images})
    except Exception as error:  # ONNX Runtime's errors have no common class but Exception
        raise InputError(f"ONNX Runtime cannot run images of shape {images.shape}: {error}") from error
    return dict(zip(outputs, values, strict=True))


def pad_batch(images: NDArray[Any], batch: int | None) -> NDArray[Any]:
    """Repeat the last picture until a file's fixed batch is full; if ``batch`` is None, return the pictures unchanged.

    Raises:
        InputError: a full batch of this size would be too large.
    """
    missing = (batch or 0) - len(images)
    if missing <= 0:
        return images
    if (numbers := (batch or 0) * images[0].size) > MOST_FIXED:
        raise InputError(
            f"The file is fixed to batches of {batch}, which would be {numbers} numbers for images of shape "
            f"{images.shape}; up to {MOST_FIXED} fit. Give smaller images, or export it again with a smaller batch."
        )
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])


def check_values(values: Mapping[str, NDArray[Any]], outputs: Mapping[str, Ranked]) -> None:
    """Check a session's results against its file's metadata, because declared shapes may be wrong.

    Args:
        values: the results by name.
        outputs: type and sides of each output by name; a side of None may be any.

    Raises:
        ModelFileError: they differ.
    """
    for name, value in values.items():
        _, sides = outputs[name]
        if len(value.shape) != len(sides) or any(
            asked not in (None, side) for side, asked in zip(value.shape, sides, strict=True)
        ):
            raise ModelFileError(
                f"The file gives {name!r} of sides {value.shape}; by its metadata expected {_shown(sides)}. Export it "
                "again."
            )


def _shown(sides: Sequence[int | None]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in sides)})"


def _available(ort: Any, wanted: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    there = set(ort.get_available_providers())
    if wanted is None:
        return [name for name in _USUAL if PROVIDERS[name].full in there], {}
    if unknown := [name for name in wanted if name not in PROVIDERS]:
        raise ConfigError(f"Unknown providers {', '.join(unknown)}; expected some of: {', '.join(PROVIDERS)}.")
    left_out = {
        name: f"this onnxruntime does not have it: pip install {PROVIDERS[name].package}"
        for name in wanted
        if PROVIDERS[name].full not in there
    }
    return [name for name in dict.fromkeys([*wanted, "cpu"]) if name not in left_out], left_out


def _threads(wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise ConfigError(f"Got threads={wanted}; expected 1 or more.")
    return wanted or usable_cpus()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
