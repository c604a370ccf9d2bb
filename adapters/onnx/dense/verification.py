"""Verification of a dense file against its network, on real pictures, at sizes other than the traced one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.adapters.onnx.dense.detections import compare_detections
from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork, MapOutputs
from sslhsic_transfer.adapters.onnx.runtime.dense import Array, OnnxDenseModel
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized
from sslhsic_transfer.adapters.onnx.verification import Check, VerifyReport, fit_shapes, relative_error
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image, spread_indices
from sslhsic_transfer.errors import VerificationError
from sslhsic_transfer.models.modes import plain_copy
from sslhsic_transfer.sample import sign_digits

RELATIVE_ERROR = 1e-4  # largest difference of a map over its largest value
EQUAL_CLASSES = 0.999  # share of pixels; scores of two classes may differ by rounding only
_SHAPES = ((1, 65, 97), (3, 64, 80), (2, 131, 96), (1, 33, 224))  # pictures, height, width
_LARGER = ((1, 97, 65), (1, 120, 160), (1, 201, 150), (1, 90, 333))  # for detectors


def verify_dense(path: str | Path, dense: DenseNetwork, pictures: str | Path | None = None) -> VerifyReport:
    """Compare a file with the network that it was exported from.

    Args:
        path: the .onnx file.
        dense: the network, on any device; it is used in float32 on the CPU.
        pictures: a folder of real pictures; by default the bundled ones.

    Returns:
        A report of all comparisons.

    Raises:
        VerificationError: a bound does not hold, or the task differs; the message lists all failures.
        ModelFileError, ModelNotFoundError: the file cannot be run.
    """
    path = Path(path)
    runtime = OnnxDenseModel.from_file(path, providers=["cpu"])
    if (runtime.info.task, runtime.info.classes) != (dense.task, dense.classes):
        raise VerificationError(
            f"{path} is of {runtime.info.task} with {len(runtime.info.classes)} classes; the network is of "
            f"{dense.task} with {len(dense.classes)}, or other ones. It was exported from another model."
        )
    batches = _batches(runtime, _pictures(pictures))
    network = replace(dense, network=plain_copy(dense.network))
    with torch.inference_mode():
        if dense.task == "detection":
            checks = compare_detections(runtime, network, batches)
        else:
            checks = [check for batch in batches for check in _compare_maps(runtime, network, batch)]
    report = VerifyReport(path, runtime.info, tuple(checks))
    if not report.passed:
        raise VerificationError(f"{path.name} does not give what {dense.name} gives.\n{report}")
    return report


def _compare_maps(runtime: OnnxDenseModel, dense: DenseNetwork, batch: NDArray[np.uint8]) -> list[Check]:
    images = np.stack([normalized(picture, runtime.info.preprocessing) for picture in batch])
    tensor = torch.from_numpy(images)
    outputs = runtime.info.outputs
    values = MapOutputs(dense.network, outputs, tensor)(tensor)
    found = runtime.run(batch if runtime.info.input == "resized" else images)
    at = " × ".join(str(side) for side in (len(batch), 3, *batch.shape[1:3]))
    checks = []
    for name, value in zip(outputs, values, strict=True):
        expected = value.numpy()
        if found[name].shape != expected.shape:
            checks.append(Check(f"{name} of shape {found[name].shape}, not {expected.shape}, at {at}", np.inf, 0, True))
        elif name == "classes":
            share = float((found[name] == expected).mean())
            checks.append(Check(f"share of equal classes at {at}", share, EQUAL_CLASSES))
        else:
            error = relative_error(found[name], expected)
            checks.append(Check(f"relative error of {name} at {at}", error, RELATIVE_ERROR, at_most=True))
    return checks


def _pictures(folder: str | Path | None) -> list[Path]:
    """Choose as many pictures as are needed, spread evenly over the available ones."""
    paths = ImageFolder.scan(sign_digits().test if folder is None else folder).paths
    return [paths[index] for index in spread_indices(len(paths), 8)]


def _batches(runtime: OnnxDenseModel, paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Make batches of pictures (B, H, W, 3), of shapes that the file takes."""
    given = runtime.session.get_inputs()[0].shape
    sides = given[2:] if runtime.info.input == "normalized" else given[1:3]
    asked = fit_shapes(_LARGER if runtime.info.task == "detection" else _SHAPES, (given[0], *sides))
    images = [load_image(path) for path in paths]
    return [
        np.stack([_sized(images[(number + i) % len(images)], h, w) for i in range(n)])
        for number, (n, h, w) in enumerate(asked)
    ]


def _sized(image: Image.Image, height: int, width: int) -> Array:
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
