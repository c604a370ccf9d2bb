"""Export of files into a model folder, with measurements, ready for publishing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sslhsic_transfer.adapters.onnx.exporting as exporting
from sslhsic_transfer._locks import changing
from sslhsic_transfer.adapters.onnx.info import FilePrecision
from sslhsic_transfer.adapters.onnx.quantization import Quantization
from sslhsic_transfer.adapters.onnx.reference import compared_folder
from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime.locate import variant_path
from sslhsic_transfer.adapters.onnx.timing import pictures_per_second
from sslhsic_transfer.hub.config_file import CONFIG_NAME, OnnxFile, read_config, write_config
from sslhsic_transfer.hub.encoder import load_folder
from sslhsic_transfer.results import RESULTS_NAME, Result, hardware, new_result, save_results, tested_on

_BATCHES = (1, 32)


def add_onnx(
    folder: str | Path,
    precisions: Sequence[FilePrecision] = ("fp32", "int8"),
    *,
    calibration: str | Path | None = None,
    quantization: Quantization | None = None,
    pictures: str | Path | None = None,
) -> list[exporting.ExportReport]:
    """Export a model folder's encoder into ``onnx/`` and add measurements to results.json.

    The files are placed where transformers.js and Optimum look for them; config.json lists them with their hashes.

    Args:
        folder: a model folder; existing files are replaced.
        precisions: precisions to export, one file for each.
        calibration: calibration pictures for ``"int8"``.
        quantization: settings of ``"int8"``.
        pictures: a folder to verify with instead of the bundled pictures.

    Returns:
        A report of each file.

    Raises:
        The errors of `sslhsic_transfer.adapters.onnx.exporting.export`; the folder then lists no unfinished file.
    """
    folder = Path(folder)
    encoder = load_folder(folder)
    encoder.name_or_path = str(folder)
    reports: dict[str, exporting.ExportReport] = {}
    for precision in precisions:
        options: dict[str, Any] = {}
        if precision == "int8":
            options = {"calibration": calibration, "quantization": quantization}
        path = folder / variant_path(precision)
        report = exporting.export(encoder, path, precision=precision, pictures=pictures, overwrite=True, **options)
        reports[precision] = report
        listed = OnnxFile(file=variant_path(precision), sha256=report.sha256, size=path.stat().st_size)
        with changing(folder / CONFIG_NAME):
            config = read_config(folder)
            write_config(folder / CONFIG_NAME, config.model_copy(update={"onnx": config.onnx | {precision: listed}}))
    files = {variant_path(name): OnnxEncoder.from_pretrained(reports[name].path) for name in reports}
    speeds = {batch: pictures_per_second(encoder, files, batch) for batch in _BATCHES}
    sha256 = read_config(folder).fingerprint.sha256
    compared = compared_folder(pictures)
    save_results(folder / RESULTS_NAME, _records(reports, speeds, sha256, encoder.preprocessing.crop, compared))
    return list(reports.values())


def _records(
    reports: dict[str, exporting.ExportReport],
    speeds: dict[int, dict[str, float]],
    sha256: str,
    side: int,
    pictures: str | Path,
) -> list[Result]:
    """Make result records of each file's error against the encoder, and of the speed of all."""
    common: dict[str, Any] = {"task": "onnx", "weights_sha256": sha256, "hardware": hardware("cpu")}
    records = []
    for precision, report in reports.items():
        records += [
            new_result(
                model=variant_path(precision),
                protocol="against the float32 encoder",
                metric=check.name,
                value=check.value,
                n=check.pictures,
                **tested_on(pictures),
                **common,
            )
            for check in report.verification.checks
            if check.pictures
        ]
    for batch, of in speeds.items():
        records += [
            new_result(
                model=name,
                dataset="noise",
                split=f"{side} × {side}",
                protocol="median of five turns, one after the other",
                metric=f"pictures a second, batch {batch}",
                value=speed,
                n=batch,
                **common,
            )
            for name, speed in of.items()
        ]
    return records
