"""Fine-tuned models as ONNX files: what their folders say, in the terms of `sslhsic_transfer.adapters.onnx`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer.adapters.onnx.dense.exporting import export_dense
from sslhsic_transfer.adapters.onnx.dense.info import DenseOutput
from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork
from sslhsic_transfer.adapters.onnx.dense.verification import verify_dense
from sslhsic_transfer.adapters.onnx.exporting import ExportReport
from sslhsic_transfer.adapters.onnx.verification import VerifyReport
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.models import load_transferred
from sslhsic_transfer.transfer.settings import DetectionSettings


def export_transferred(
    folder: str | Path,
    path: str | Path,
    *,
    outputs: Sequence[DenseOutput] | None = None,
    precision: str = "fp32",
    input: str = "normalized",  # noqa: A002 - the field's name in the file
    calibration: object = None,
    **options: Any,
) -> ExportReport:
    """Export a fine-tuned model, of any task and framework, and compare the file with it.

    >>> export_transferred("runs/camvid/model", "camvid.onnx")
    >>> classes = OnnxDenseModel.from_file("camvid.onnx").predict("street.jpg")

    Args:
        folder: ``RUN/model``.
        path: the file to write.
        outputs: of segmentation ``"logits"``, the default, and ``"classes"``; the others give all they have.
        precision: ``"fp32"``; there is no other for dense models.
        input: ``"normalized"`` or ``"resized"``: see `export_dense`.
        calibration: none, as there is no int8.
        options: of `sslhsic_transfer.adapters.onnx.dense.exporting.export_dense`: ``batch``, ``size``, ``opset``,
            ``pictures``, ``overwrite``.

    Raises:
        ConfigError: options that dense models do not have, or that do not fit together.
        ModelNotFoundError, WeightsError, CheckpointError: as `load_transferred`.
        OutputExistsError, ExportError, VerificationError, MissingDependencyError: as `export_dense`.
    """
    if precision != "fp32" or calibration is not None:
        raise ConfigError(
            f"Got precision {precision}{' and calibration' if calibration is not None else ''}; dense models are "
            "exported in fp32 only. Leave out --precision and --calibration; a smaller precision is for encoders."
        )
    if input not in ("normalized", "resized"):
        raise ConfigError(
            f"Got input {input!r}; expected 'normalized', or 'resized' for uint8 pictures: dense models crop nothing, "
            "and what they take may have any size."
        )
    return export_dense(dense_network(folder), path, outputs=outputs, input=input, **options)  # type: ignore[arg-type]


def verify_transferred(file: str | Path, folder: str | Path, pictures: str | Path | None = None) -> VerifyReport:
    """Compare an exported file with the fine-tuned model that it comes from: see `verify_dense`."""
    return verify_dense(file, dense_network(folder), pictures)


def dense_network(folder: str | Path) -> DenseNetwork:
    """A fine-tuned model as what can be exported.

    Raises:
        ModelNotFoundError, ConfigError, WeightsError, MissingDependencyError: as `load_transferred`.
    """
    folder = Path(folder)
    config = TransferConfig.load(folder)
    settings = config.typed_settings()
    if config.framework == "detectron2":
        network, sizes = _of_detectron2(folder)
    else:
        network = load_transferred(folder, "cpu").network
        sizes = {"resize": getattr(settings, "resize", None)}  # torchvision's detectors resize by themselves
    return DenseNetwork(
        network=network,
        task=config.task,
        framework=config.framework,
        architecture=getattr(settings, "network", config.framework),
        name="/".join(folder.resolve().parts[-2:]),
        preprocessing=config.preprocessing,
        classes=config.classes,
        first_label=int(isinstance(settings, DetectionSettings) and config.framework == "torchvision"),
        **sizes,
    )


def _of_detectron2(folder: Path) -> tuple[Any, dict[str, int | None]]:
    """The network, and how its pictures are resized, which it does not do itself."""
    from sslhsic_transfer.adapters.detectron2 import load_detector
    from sslhsic_transfer.adapters.detectron2.tensors import TensorDetector

    detector = load_detector(folder, "cpu")
    sizes = {"resize": detector.cfg.INPUT.MIN_SIZE_TEST, "longest": detector.cfg.INPUT.MAX_SIZE_TEST}
    return TensorDetector(detector.model), sizes
