"""Export of fine-tuned models to ONNX files with `sslhsic_transfer.adapters.onnx`."""

from pathlib import Path
from typing import Any, cast

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.adapters.onnx.dense.exporting import export_dense
from sslhsic_transfer.adapters.onnx.dense.info import DenseTask
from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork
from sslhsic_transfer.adapters.onnx.dense.verification import verify_dense
from sslhsic_transfer.adapters.onnx.exporting import ExportReport, export
from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.verification import VerifyReport, verify
from sslhsic_transfer.adapters.torchvision.classification import Classifier
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.config_file import WEIGHTS_NAME
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.frameworks import load_framework
from sslhsic_transfer.transfer.model import load_transferred
from sslhsic_transfer.transfer.tasks.classification import ClassificationTask


def export_transferred(folder: str | Path, path: str | Path, **options: Any) -> ExportReport:
    """Export a fine-tuned model of any task and framework, and compare the file with the model.

    >>> export_transferred("runs/camvid/model", "camvid.onnx")
    >>> classes = OnnxDenseModel.from_file("camvid.onnx").predict("street.jpg")
    >>> export_transferred("runs/digits/model", "digits.onnx", precision="int8", calibration="pictures")
    >>> probabilities = OnnxEncoder.from_pretrained("digits.onnx").classify(["hand.jpg"])

    Args:
        folder: ``RUN/model``.
        path: the file to write.
        options: for a classifier the options of `sslhsic_transfer.adapters.onnx.export`; its file gives logits unless
            ``outputs`` says otherwise. For dense models the options of `sslhsic_transfer.adapters.onnx.export_dense`.

    Raises:
        ConfigError: options that dense models do not have, or that do not fit together.
        ModelNotFoundError, WeightsError, CheckpointError: as for `load_transferred`.
        OutputExistsError, ExportError, VerificationError, MissingDependencyError: as for `export_dense`.
    """
    if TransferConfig.load(Path(folder)).task == "classification":
        encoder, head = classifier_parts(folder)
        return export(encoder, path, head=head, **options)
    return export_dense(dense_network(folder), path, **_dense_options(**options))


def _dense_options(
    precision: str = "fp32", calibration: object = None, quantization: object = None, **options: Any
) -> dict[str, Any]:
    if precision != "fp32" or calibration is not None or quantization is not None:
        raise ConfigError(
            f"Got precision {precision}{' and calibration' if calibration is not None else ''}; dense models are "
            "exported in fp32 only. Leave out --precision and --calibration; a smaller precision is for encoders and "
            "classifiers."
        )
    return options


def verify_transferred(file: str | Path, folder: str | Path, pictures: str | Path | None = None) -> VerifyReport:
    """Compare an exported file with the fine-tuned model that it comes from; see `verify` and `verify_dense`."""
    if TransferConfig.load(Path(folder)).task == "classification":
        encoder, head = classifier_parts(folder)
        return verify(file, encoder, pictures, head=head)
    return verify_dense(file, dense_network(folder), pictures)


def classifier_parts(folder: str | Path) -> tuple[Encoder, LinearHead]:
    """Return a classifier's fine-tuned encoder, with its preprocessing, and its linear layer.

    Raises:
        ModelNotFoundError, ConfigError, WeightsError: as for `load_transferred`.
    """
    folder = Path(folder)
    model = load_transferred(folder, "cpu")
    config, task, classifier = model.config, model.task, cast("Classifier", model.network)
    if not isinstance(task, ClassificationTask):
        raise ConfigError(f"{folder} is a model for {config.task}; expected a classifier. See dense_network.")
    encoder = Encoder(config.encoder, task.preprocessing).eval()
    encoder.load_state_dict({name: classifier.state_dict()[name] for name in encoder.state_dict()})
    encoder.name_or_path = str(folder.resolve())
    encoder.weights_sha256 = sha256_of_file(folder / WEIGHTS_NAME)
    return encoder, LinearHead(classifier.fc, config.classes)


def dense_network(folder: str | Path) -> DenseNetwork:
    """Return a fine-tuned model in the form for export.

    Raises:
        ModelNotFoundError, ConfigError, WeightsError, MissingDependencyError: as for `load_transferred`.
    """
    folder = Path(folder)
    config = TransferConfig.load(folder)
    if config.task == "classification":
        raise ConfigError(f"{folder} is a classifier; expected a dense model. See classifier_parts.")
    exportable = load_framework(config.framework, config.task).exportable(config.build_task(), config, folder)
    return DenseNetwork(
        network=exportable.network,
        task=cast("DenseTask", config.task),
        framework=config.framework,
        architecture=config.settings["network"],
        name="/".join(folder.resolve().parts[-2:]),
        preprocessing=config.preprocessing,
        classes=config.classes,
        first_label=exportable.first_label,
        resize=exportable.resize,
        longest=exportable.longest,
    )
