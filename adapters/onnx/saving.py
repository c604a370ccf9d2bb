"""From a graph to a file: checked, deterministic, whole or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslhsic_transfer.adapters.onnx.info import FileInfo
from sslhsic_transfer.errors import ConfigError, ExportError, OutputExistsError

LARGEST_SINGLE = 2_000_000_000  # bytes; a Protocol Buffers message has less than 2 GiB
_IR_VERSION = 10  # of 2024: what runtimes of the last years read


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse, before any work, a place where an export cannot end up.

    Raises:
        ConfigError: the name does not end in .onnx.
        OutputExistsError: the file is there and must not be replaced.
    """
    if path.suffix != ".onnx":
        raise ConfigError(f"Got the file name {path.name!r}; expected one that ends in .onnx.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} already exists; choose another name, or pass overwrite=True (--overwrite).")


def describe(model: Any, info: FileInfo) -> None:
    """Write the metadata of a graph, in place, and only those."""
    del model.metadata_props[:]
    for key, value in info.entries().items():
        model.metadata_props.add(key=key, value=value)
    model.ir_version = min(model.ir_version, _IR_VERSION)


def data_file(path: Path) -> Path:
    """The file beside one that is too large to hold its own weights."""
    return path.with_name(path.name + ".data")


def write_model(model: Any, path: Path) -> None:
    """Write a graph and check what was written: types, shapes, and every operator against the standard.

    Args:
        model: an ``onnx.ModelProto``.
        path: of the file; weights beyond two gigabytes lie in `data_file` beside it.

    Raises:
        ExportError: the graph is no valid ONNX.
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
    """A place under the same name in a folder beside the target; moved there when all has gone well."""
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
