"""Model repositories for NVIDIA Triton Inference Server: an exported file with a matching configuration."""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer.adapters.onnx.info import OnnxInfo
from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime.model_file import inspect
from sslhsic_transfer.errors import ConfigError, OutputExistsError

CONFIG = "config.pbtxt"
LABELS = "labels.txt"
_VERSION = "1"
_LARGEST_BATCH = 64  # default for files that take any number of pictures
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def triton_repository(
    file: str | Path,
    directory: str | Path,
    *,
    name: str | None = None,
    max_batch_size: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``directory/NAME/config.pbtxt`` and ``directory/NAME/1/model.onnx``, for Triton's onnxruntime backend.

    A classifier's folder also has labels.txt with the names of its classes.

    >>> triton_repository("model.onnx", "repository", name="digits")  # tritonserver --model-repository repository
    PosixPath('repository/digits')

    Args:
        file: an exported encoder.
        directory: the repository; other models in it are not changed.
        name: the model's name on the server; by default the last part of the encoder's own name.
        max_batch_size: largest number of pictures that the server may batch; 0: it does not batch, and requests have
            their own batch dimension. None: 64, or 0 for a file of fixed batch. Such a file allows only 0, because
            Triton manages the first dimension only if it is free.
        overwrite: whether a model of that name may be replaced.

    Returns:
        The model's folder in the repository.

    Raises:
        ConfigError: the name cannot be a folder's, or the batch size is negative or impossible for the file.
        OutputExistsError: the repository already has a model of that name.
        ModelNotFoundError, ModelFileError: there is no such file, or it is not an exported encoder.
        MissingDependencyError: onnxruntime is not installed.
    """
    file = Path(file)
    content = inspect(file)
    encoder = OnnxEncoder.from_pretrained(file, providers=["cpu"], threads=1)
    name = _usable(encoder.info.model.rsplit("/", 1)[-1]) if name is None else name
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"Got the model name {name!r}; expected letters, digits, '_', '-' and '.', and first a letter or digit."
        )
    text = config(encoder.session, encoder.info, name, max_batch_size)
    target = Path(directory) / name
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} already exists; choose another name, or pass overwrite=True (--overwrite).")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as place:
        staged, former = Path(place, "new"), Path(place, "former")
        (staged / _VERSION).mkdir(parents=True)
        shutil.copy(file, staged / _VERSION / "model.onnx")
        for beside in content.beside:  # the file refers to them by name
            shutil.copy(beside, staged / _VERSION / beside.name)
        (staged / CONFIG).write_text(text, encoding="utf-8")
        if encoder.info.classes:
            (staged / LABELS).write_text("\n".join(encoder.info.classes) + "\n", encoding="utf-8")
        if target.exists():
            target.rename(former)
        staged.rename(target)
    return target


def config(session: Any, info: OnnxInfo, name: str, max_batch_size: int | None = None) -> str:
    """Make the text of config.pbtxt.

    Args:
        session: the file's ONNX Runtime session, whose inputs and outputs are written.
        info: the file's metadata; some of them become parameters, which Triton shows at ``/v2/models/NAME/config``.
        name: name of the model.
        max_batch_size: see `triton_repository`.

    Raises:
        ConfigError: the batch size is negative, or impossible for the file.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fixed = isinstance(inputs[0].shape[0], int)
    batch = (0 if fixed else _LARGEST_BATCH) if max_batch_size is None else max_batch_size
    if batch < 0:
        raise ConfigError(f"Got max_batch_size={batch}; expected 0 or more.")
    if batch and fixed:
        raise ConfigError(
            f"Got max_batch_size={batch}; this file is fixed to batches of {inputs[0].shape[0]}, which Triton can only "
            "serve as they are: pass 0, or export without a fixed batch."
        )
    facts = {
        "model": info.model,
        "weights_sha256": info.weights_sha256,
        "input": info.input,
        "precision": info.precision,
        "library_version": info.library_version,
        **({"licence": info.licence} if info.licence else {}),
    }
    blocks = [
        f"name: {_quoted(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {batch}",
        *(f"input [\n{_tensor(value, batch)}\n]" for value in inputs),
        *(f"output [\n{_tensor(value, batch, labels=value.name == 'logits')}\n]" for value in outputs),
        *(["dynamic_batching { }"] if batch else []),
        "instance_group [\n  {\n    count: 1\n    kind: KIND_AUTO\n  }\n]",
        *(
            f"parameters {{\n  key: {_quoted('sslhsic.' + key)}\n  value {{ string_value: {_quoted(value)} }}\n}}"
            for key, value in facts.items()
        ),
    ]
    return "\n".join(blocks) + "\n"


def _tensor(value: Any, batch: int, *, labels: bool = False) -> str:
    """Format an input or output; the first dimension is left out if the server makes batches.

    With labels, a client may ask the server for the likeliest classes by name.
    """
    dims = ", ".join(map(str, _dims(value.shape[1:] if batch else value.shape)))
    lines = [f"name: {_quoted(value.name)}", f"data_type: {_TYPES[value.type]}", f"dims: [ {dims} ]"]
    lines += [f"label_filename: {_quoted(LABELS)}"] if labels else []
    return "\n".join(["  {", *(f"    {line}" for line in lines), "  }"])


def _dims(shape: Sequence[Any]) -> list[int]:
    return [side if isinstance(side, int) else -1 for side in shape]


def _usable(name: str) -> str:
    """Replace all characters that a model's name may not have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip("_.-") or "encoder"


def _quoted(text: str) -> str:
    """Quote a string for Protocol Buffers' text format: escaped as in JSON, with UTF-8 left as it is."""
    return json.dumps(text, ensure_ascii=False)
