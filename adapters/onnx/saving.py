"""Saving of graphs to files, checked, deterministically and atomically."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslhsic_transfer.adapters.onnx.info import FileInfo
from sslhsic_transfer.errors import ConfigError, ExportError, OutputExistsError

LARGEST_SINGLE = 2_000_000_000  # bytes; a Protocol Buffers message has less than 2 GiB
_IR_VERSION = 10  # from 2024, which recent runtimes can read


def check_target(path: Path, overwrite: bool) -> None:
    """Check, before any work, that an export can be written to a path.

    Raises:
        ConfigError: the name does not end in .onnx.
        OutputExistsError: the file exists and must not be replaced.
    """
    if path.suffix != ".onnx":
        raise ConfigError(f"Got the file name {path.name!r}; expected one that ends in .onnx.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} already exists; choose another name, or pass overwrite=True (--overwrite).")


def describe(model: Any, info: FileInfo) -> None:
    """Replace all metadata of a graph, in place."""
    del model.metadata_props[:]
    for key, value in info.entries().items():
        model.metadata_props.add(key=key, value=value)
    model.ir_version = min(model.ir_version, _IR_VERSION)


def data_file(path: Path) -> Path:
    """Return the path of the weights' file beside an ONNX file that is too large to hold them."""
    return path.with_name(path.name + ".data")


def write_model(model: Any, path: Path) -> None:
    """Write a graph and check the written file: types, shapes, and every operator against the standard.

    Args:
        model: an ``onnx.ModelProto``.
        path: path of the file; weights of more than two gigabytes are written to `data_file` beside it.

    Raises:
        ExportError: the graph is not valid ONNX.
    """
    import onnx

    if model.ByteSize() > LARGEST_SINGLE:
        onnx.save_model(model, path, save_as_external_data=True, location=data_file(path).name, size_threshold=1024)
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The exported graph is not valid ONNX: {error}") from error


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Provide a path of the same name in a temporary folder beside the target; move the file on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        place = folder / path.name
        yield place
        data_file(path).unlink(missing_ok=True)
        for file in (data_file(place), place):
            if file.exists():
                file.replace(path.parent / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
