"""`export_dense`, which exports a dense network to a verified ONNX file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import sslhsic_transfer
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.adapters.onnx.dense import detector_graph
from sslhsic_transfer.adapters.onnx.dense.detections import LEAST, eager
from sslhsic_transfer.adapters.onnx.dense.info import OUTPUTS, DenseInfo, DenseInput, DenseOutput
from sslhsic_transfer.adapters.onnx.dense.layers import exportable
from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork, DetectionOutputs, MapOutputs
from sslhsic_transfer.adapters.onnx.dense.verification import verify_dense
from sslhsic_transfer.adapters.onnx.exporting import ExportReport, report_of, weights_hash
from sslhsic_transfer.adapters.onnx.graph import INPUT, TRACED, tidy, trace
from sslhsic_transfer.adapters.onnx.preprocessing import prepend
from sslhsic_transfer.adapters.onnx.runtime.operators import DENSE, OPSETS
from sslhsic_transfer.adapters.onnx.saving import check_target, describe, staged, write_model
from sslhsic_transfer.adapters.onnx.verification import Check, VerifyReport
from sslhsic_transfer.errors import ConfigError, ExportError
from sslhsic_transfer.models.modes import plain_copy

_MOST_CLASSES = 256  # limit of uint8


def export_dense(
    dense: DenseNetwork,
    path: str | Path,
    *,
    outputs: Sequence[DenseOutput] | None = None,
    input: DenseInput = "normalized",  # noqa: A002 - the field's name in the file
    batch: int | None = None,
    size: int | tuple[int, int] | None = None,
    opset: int = 20,
    pictures: str | Path | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export a network for segmentation, depth or detection, and verify the file against it at several sizes.

    A file whose outputs differ from the network's is not kept. Weights and arithmetic are float32.

    >>> network = deeplabv3("org/name", num_classes=21)
    >>> dense = DenseNetwork(network, "segmentation", "torchvision", "deeplabv3", "voc", encoder.preprocessing, classes)
    >>> report = export_dense(dense, "voc.onnx")

    Args:
        dense: the network, in any mode, on any device; it is not changed.
        path: the file to write.
        outputs: outputs of the file. Segmentation: ``"logits"``, scores of classes (B, C, H, W) float32, the default,
            and ``"classes"`` (B, H, W) uint8. Depth: ``"depth"`` (B, 1, H, W) in meters. Detection: ``"boxes"`` (N, 4)
            in pixels of the input, ``"scores"``, ``"labels"`` counted from 0, and ``"masks"`` (N, 1, 28, 28) within
            the boxes if the network has them; by default all of these.
        input: input of the file. ``"normalized"``: (B, 3, H, W) float32; ``"resized"``: (B, H, W, 3) uint8. Maps have
            the input's height and width.
        batch: fixed number of pictures; None: any. Detectors take one.
        size: fixed height and width; None: any.
        opset: version of the standard operators: 18 to 23, for detectors up to 20.
        pictures: a folder to verify with instead of the bundled pictures, preferably of the kind the model was trained
            on.
        overwrite: whether an existing file may be replaced.

    Raises:
        ConfigError: options do not fit together.
        OutputExistsError: the file already exists.
        ExportError: the network cannot be exported; the message names the operator if it is known.
        VerificationError: the file's outputs differ from the network's.
        MissingDependencyError: onnx, onnxscript or onnxruntime is not installed.
    """
    path = Path(path)
    sides = (size, size) if isinstance(size, int) else size
    chosen = _outputs(dense, outputs)
    _check(dense, path, chosen, input, batch, sides, opset, overwrite)
    for package in ("onnx", "onnxscript"):
        optional_import(package, extra="onnx", purpose="Exporting to ONNX")
    model = dense_graph(dense, chosen, batch=batch, size=sides, opset=opset)
    if input == "resized":
        prepend(model, dense.preprocessing, input)
    tidy(model, dense.task)
    info = DenseInfo(
        task=dense.task,
        framework=dense.framework,
        network=dense.architecture,
        model=dense.name,
        weights_sha256=weights_hash(dense.network),
        classes=dense.classes,
        preprocessing=dense.preprocessing,
        resize=dense.resize,
        longest=dense.longest,
        input=input,
        outputs=chosen,
        opset=opset,
        library_version=sslhsic_transfer.__version__,
    )
    describe(model, info)
    with staged(path) as place:
        write_model(model, place)
        checks = verify_dense(place, dense, pictures).checks
        if dense.task == "detection" and VerifyReport(path, info, checks).value("detections") < LEAST:
            checks += _checked_eagerly(place, dense, info, pictures, sides)
    return report_of(path, VerifyReport(path, info, checks))


def _checked_eagerly(
    place: Path, dense: DenseNetwork, info: DenseInfo, pictures: str | Path | None, size: tuple[int, int] | None
) -> tuple[Check, ...]:
    """Compare a second file, which has no score threshold and therefore detections in any picture."""
    second, network = place.with_name(f"eager_{place.name}"), eager(dense)
    model = dense_graph(network, info.outputs, size=size, opset=info.opset)
    describe(model, info.model_copy(update={"input": "normalized"}))
    write_model(model, second)
    checks = verify_dense(second, network, pictures).checks
    return tuple(replace(check, name=f"without a least score: {check.name}") for check in checks)


def dense_graph(
    dense: DenseNetwork,
    outputs: tuple[DenseOutput, ...],
    *,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    opset: int = 20,
) -> Any:
    """Make an ``onnx.ModelProto`` from normalized pictures to ``outputs``; arguments are those of `export_dense`."""
    network = plain_copy(dense.network)
    if dense.task == "detection":
        detector = DetectionOutputs(network, outputs, dense.preprocessing, dense.first_label).eval()
        return _known(detector_graph.trace_detector(detector, outputs, size, opset), dense)
    example = torch.zeros(batch or TRACED[0], 3, *(size or TRACED[2:]))
    wrapped = MapOutputs(exportable(network), outputs, example).eval()
    axes = {0: "batch"} if batch is None else {}
    axes |= {2: "height", 3: "width"} if size is None else {}
    return _known(trace(wrapped, example, [INPUT], list(outputs), axes, opset), dense)


def _known(model: Any, dense: DenseNetwork) -> Any:
    """Return the graph unchanged, or raise if it holds operators that would be refused when the file is opened."""
    if odd := sorted({node.op_type for node in model.graph.node} - DENSE.operators):
        raise ExportError(
            f"{dense.name} ({dense.architecture}) becomes the operators {', '.join(odd)}, which files of dense models "
            "may not hold. If they are safe to run, add them to sslhsic_transfer/adapters/onnx/runtime/operators.py."
        )
    return model


def _outputs(dense: DenseNetwork, outputs: Sequence[DenseOutput] | None) -> tuple[DenseOutput, ...]:
    known = OUTPUTS[dense.task]
    if dense.task == "detection" and not _has_masks(dense):
        known = tuple(name for name in known if name != "masks")
    if outputs is None:
        return known[:1] if dense.task == "segmentation" else known
    if not outputs or len(set(outputs)) < len(outputs) or not set(outputs) <= set(known):
        raise ConfigError(
            f"Got outputs {', '.join(outputs) or '(none)'}; expected some of {', '.join(known)}, each once."
        )
    return tuple(outputs)


def _has_masks(dense: DenseNetwork) -> bool:
    heads = getattr(dense.network, "roi_heads", None)
    return dense.framework == "torchvision" and heads is not None and bool(heads.has_mask())


def _check(
    dense: DenseNetwork,
    path: Path,
    outputs: tuple[DenseOutput, ...],
    form: DenseInput,
    batch: int | None,
    size: tuple[int, int] | None,
    opset: int,
    overwrite: bool,
) -> None:
    detects = dense.task == "detection"
    known = detector_graph.OPSETS if detects else OPSETS
    problems = []
    if form not in ("normalized", "resized"):
        problems.append(
            f"input: got {form!r}; expected normalized, or resized for uint8 pictures: nothing is cropped here"
        )
    if opset not in known:
        problems.append(f"opset: got {opset}; expected one from {known.start} to {known.stop - 1}")
    if batch is not None and (batch < 1 or (detects and batch != 1)):
        problems.append(
            f"batch: got {batch}; expected {'1, as detectors take one picture' if detects else '1 or more'}"
        )
    if size is not None and min(size) < 32:
        problems.append(f"size: got {size[0]} × {size[1]}; expected at least 32 × 32")
    if "classes" in outputs and len(dense.classes) > _MOST_CLASSES:
        problems.append(f"outputs: got classes of {len(dense.classes)}; expected at most {_MOST_CLASSES}, or logits")
    if problems:
        raise ConfigError("\n".join(["The model cannot be exported so.", *problems]))
    check_target(path, overwrite)
