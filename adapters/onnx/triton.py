"""A model repository for NVIDIA Triton Inference Server: an exported file, and the configuration that fits it."""

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
_LARGEST_BATCH = 64  # of files that take any number of pictures, where nothing else is said
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

    A classifier's folder has labels.txt, too: the names of its classes.

    >>> triton_repository("model.onnx", "repository", name="digits")  # tritonserver --model-repository repository
    PosixPath('repository/digits')

    Args:
        file: an exported encoder.
        directory: the repository; other models in it stay.
        name: what the server shall call the model; by default the last part of the encoder's own name.
        max_batch_size: how many pictures the server may put together; 0: it does not, and requests bring their own
            batch dimension. None: 64, or 0 for a file of fixed batch, which can have no other, as Triton leaves
            the first dimension to itself only where a file takes any.
        overwrite: whether a model of that name may be replaced.

    Returns:
        The model's folder in the repository.

    Raises:
        ConfigError: a name that cannot be a folder's, a negative batch size, or one that the file cannot have.
        OutputExistsError: the repository has a model of that name.
        ModelNotFoundError, ModelFileError: there is no such file, or it is no exported encoder.
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
        for beside in content.beside:  # named in the file, so that they keep their names
            shutil.copy(beside, staged / _VERSION / beside.name)
        (staged / CONFIG).write_text(text, encoding="utf-8")
        if encoder.info.classes:
            (staged / LABELS).write_text("\n".join(encoder.info.classes) + "\n", encoding="utf-8")
        if target.exists():
            target.rename(former)
        staged.rename(target)
    return target


def config(session: Any, info: OnnxInfo, name: str, max_batch_size: int | None = None) -> str:
    """The text of config.pbtxt.

    Args:
        session: of ONNX Runtime; what it takes and gives is what is written.
        info: the file's facts; some of them become parameters, which Triton shows at ``/v2/models/NAME/config``.
        name: of the model.
        max_batch_size: see `triton_repository`.

    Raises:
        ConfigError: a negative batch size, or one that the file cannot have.
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
    """An input or output; the first dimension is not named where the server makes batches.

    With labels a client may ask the server for the likeliest classes by their names.
    """
    dims = ", ".join(map(str, _dims(value.shape[1:] if batch else value.shape)))
    lines = [f"name: {_quoted(value.name)}", f"data_type: {_TYPES[value.type]}", f"dims: [ {dims} ]"]
    lines += [f"label_filename: {_quoted(LABELS)}"] if labels else []
    return "\n".join(["  {", *(f"    {line}" for line in lines), "  }"])


def _dims(shape: Sequence[Any]) -> list[int]:
    return [side if isinstance(side, int) else -1 for side in shape]


def _usable(name: str) -> str:
    """A name with everything else replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip("_.-") or "encoder"


def _quoted(text: str) -> str:
    """As Protocol Buffers' text format has strings: escaped as JSON, with bytes of UTF-8 as they are."""
    return json.dumps(text, ensure_ascii=False)
