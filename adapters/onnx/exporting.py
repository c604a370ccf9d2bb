"""`export`, which exports an encoder to a verified ONNX file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

import sslhsic_transfer
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.adapters.onnx.graph import encoder_graph, tidy
from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.info import FilePrecision, InputForm, OnnxInfo, Output
from sslhsic_transfer.adapters.onnx.precision import as_float16
from sslhsic_transfer.adapters.onnx.preprocessing import prepend
from sslhsic_transfer.adapters.onnx.quantization import Quantization, as_int8
from sslhsic_transfer.adapters.onnx.saving import check_target, data_file, describe, staged, write_model
from sslhsic_transfer.adapters.onnx.verification import VerifyReport, verify
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import Picture, spread_indices
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.hub.names import public_name
from sslhsic_transfer.models.preprocessing import Preprocessing

_MOST_CALIBRATION = 256  # pictures; more do not change the ranges found by percentiles


@dataclass(frozen=True)
class ExportReport:
    """Report of an export.

    Attributes:
        path: the file.
        size: its size in bytes, including the data file beside it if there is one.
        sha256: hash of the file.
        verification: the comparison with the encoder.
    """

    path: Path
    size: int
    sha256: str
    verification: VerifyReport

    def __str__(self) -> str:
        return f"{self.verification}\nWritten: {self.size / 1e6:.1f} MB, SHA-256 {self.sha256}"


def export(
    encoder: Encoder,
    path: str | Path,
    *,
    outputs: Sequence[Output] | None = None,
    head: LinearHead | None = None,
    precision: FilePrecision = "fp32",
    input: InputForm = "normalized",  # noqa: A002 - the field's name in the file
    batch: int | None = None,
    size: int | tuple[int, int] | None = None,
    opset: int = 20,
    calibration: str | Path | Sequence[Picture] | None = None,
    quantization: Quantization | None = None,
    pictures: str | Path | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export an encoder and verify the file against it; a file whose outputs differ is not kept.

    The same encoder and options give the same bytes on the same machine.

    >>> report = export(encoder, "model.onnx", outputs=("pooled", "c5"))

    Args:
        encoder: the encoder, in any mode, on any device; it is not changed.
        path: the file to write.
        outputs: outputs of the file: ``"pooled"``, the embedding; ``"c2"`` to ``"c5"``, feature maps; and for a
            classifier ``"logits"``. None: logits if there is a head, else the embedding.
        head: a linear layer that makes the encoder a classifier.
        precision: ``"fp32"``; ``"fp16"``, for GPUs; ``"int8"``, for CPUs.
        input: input of the file. ``"normalized"``: (B, 3, H, W) float32; ``"resized"``: (B, H, W, 3) uint8 of the right
            size; ``"pictures"``: (B, H, W, 3) uint8 of any size, resized and cropped in the graph.
        batch: fixed number of pictures; None: any.
        size: fixed height and width; None: any. If both are the same, pictures are resized and cropped to them. If they
            differ, the user of the file has to prepare its input.
        opset: version of the standard operators.
        calibration: for int8: pictures, or a folder of them, like those that the file will be used on.
        quantization: for int8: its settings.
        pictures: a folder to verify with instead of the bundled pictures, with one sub-folder for each class.
        overwrite: whether an existing file may be replaced.

    Raises:
        ConfigError: options do not fit together.
        OutputExistsError: the file already exists.
        ExportError: the network cannot be exported.
        VerificationError: the file's outputs differ from the encoder's.
        MissingDependencyError: onnx, onnxscript or onnxruntime is not installed.
    """
    path = Path(path)
    _check(path, precision, input, calibration, quantization, overwrite)
    sides = (size, size) if isinstance(size, int) else size
    given: tuple[Output, ...] = tuple(outputs) if outputs is not None else ("logits",) if head else ("pooled",)
    how = None
    model = encoder_graph(encoder, given, head=head, batch=batch, size=sides, opset=opset)
    preprocessing = _preprocessing(encoder, sides)
    if precision == "fp16":
        model = as_float16(model)
    elif precision == "int8":
        assert calibration is not None
        settings = quantization or Quantization()
        images = _prepared(preprocessing, calibration, sides)
        how = settings.described(len(images))
        model = as_int8(model, images, settings)
    if input != "normalized":
        prepend(model, preprocessing, input)
    tidy(model)
    info = OnnxInfo(
        model=public_name(encoder.name_or_path or encoder.config.architecture),
        weights_sha256=encoder.weights_sha256 or weights_hash(encoder),
        encoder=encoder.config,
        preprocessing=preprocessing,
        input=input,
        outputs=given,
        classes=head.classes if head else (),
        precision=precision,
        quantization=how,
        opset=opset,
        licence=encoder.metadata.get("licence"),
        library_version=sslhsic_transfer.__version__,
    )
    describe(model, info)
    with staged(path) as place:
        write_model(model, place)
        verification = verify(place, encoder, pictures, head=head)
    return report_of(path, VerifyReport(path, info, verification.checks))


def report_of(path: Path, verification: VerifyReport) -> ExportReport:
    """Make the report of a written file."""
    files = [path, *(file for file in [data_file(path)] if file.exists())]
    return ExportReport(path, sum(file.stat().st_size for file in files), sha256_of_file(path), verification)


def weights_hash(network: nn.Module) -> str:
    """Compute the SHA-256 that model.safetensors has, or would have if the network were saved now."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(save(state, metadata={"format": "pt"})).hexdigest()


def _check(
    path: Path, precision: FilePrecision, form: InputForm, calibration: Any, quantization: Any, overwrite: bool
) -> None:
    if precision not in ("fp32", "fp16", "int8"):
        raise ConfigError(f"Unknown precision {precision!r}; expected fp32, fp16 or int8.")
    if form not in ("normalized", "resized", "pictures"):
        raise ConfigError(f"Unknown input {form!r}; expected normalized, resized or pictures.")
    check_target(path, overwrite)
    if precision == "int8" and calibration is None:
        raise ConfigError("int8 needs pictures to calibrate with: pass calibration=FOLDER (--calibration DIR).")
    if precision != "int8" and (calibration is not None or quantization is not None):
        raise ConfigError(f"Calibration is for int8; this export is {precision}.")


def _preprocessing(encoder: Encoder, sides: tuple[int, int] | None) -> Preprocessing:
    """Return the preprocessing of the file's input, at its size if that is fixed and square."""
    if sides is None or sides[0] != sides[1]:
        return encoder.preprocessing
    return encoder.preprocessing.at_size(sides[0])


def _prepared(
    preprocessing: Preprocessing, calibration: str | Path | Sequence[Picture], sides: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Prepare calibration pictures as the network's input; if there are too many, choose evenly."""
    pictures: Sequence[Picture]
    pictures = ImageFolder.scan(calibration).paths if isinstance(calibration, str | Path) else calibration
    if not len(pictures):
        return np.empty((0, 3, 32, 32), np.float32)
    chosen = spread_indices(len(pictures), min(_MOST_CALIBRATION, len(pictures)))
    if sides and sides != (preprocessing.crop, preprocessing.crop):
        raise ConfigError(
            f"Calibration pictures become {preprocessing.crop} × {preprocessing.crop} by the encoder's preprocessing, "
            f"which a fixed size of {sides[0]} × {sides[1]} does not fit."
        )
    transform = preprocessing.transform()
    return torch.stack([transform(pictures[index]) for index in chosen]).numpy()
