"""The commands `sslhsic export` and `sslhsic verify`: ONNX files that run without torch.

Only typer is imported before a command runs.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sslhsic_transfer.cli.options import Model

Pictures = Annotated[
    Path | None,
    typer.Option(help="Folder of pictures to verify with, one subfolder per class; by default the bundled pictures."),
]


def export(
    model: Model,
    *,
    output: Annotated[Path, typer.Option(help="File to write, such as model.onnx.")],
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Names of outputs, separated by commas. Encoder: pooled, c2 to c5; classifier: also logits; "
            "segmentation: logits, classes. By default pooled; for fine-tuned models, the output of their task."
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Precision of the file. fp16 is for GPUs, int8 for CPUs; int8 needs --calibration."),
    ] = "fp32",
    input_form: Annotated[
        Literal["normalized", "resized", "pictures"],
        typer.Option(
            "--input",
            help="Form of the input. normalized: float pictures after all preprocessing; resized: uint8 pictures "
            "of the right size; pictures: uint8 pictures of any size.",
        ),
    ] = "normalized",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Fixed number of pictures in a batch; by default any number.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Fixed height and width of the input in pixels; by default any size.")
    ] = None,
    opset: Annotated[int, typer.Option(help="Version of ONNX's standard operators.")] = 20,
    calibration: Annotated[
        Path | None,
        typer.Option(help="For int8: folder of pictures to calibrate with, of the kind that the model will see."),
    ] = None,
    method: Annotated[
        Literal["minmax", "percentile", "entropy"],
        typer.Option(
            help="For int8: rule for the value ranges. minmax: all values; percentile: without the rarest; "
            "entropy: with the least loss of information."
        ),
    ] = "minmax",
    percentile: Annotated[
        float, typer.Option(help="For --method percentile: share of values within the range, in percent.")
    ] = 99.999,
    reduce_range: Annotated[
        bool | None,
        typer.Option(
            "--reduce-range/--full-range",
            help="For int8: weights of 7 bits or of all 8; by default what this CPU needs.",
        ),
    ] = None,
    pictures: Pictures = None,
    triton: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write the model to this model repository for NVIDIA Triton."),
    ] = None,
    triton_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model in Triton; by default the model's own name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write an encoder, or a fine-tuned model (RUN/model/), as a verified ONNX file.

    Example: sslhsic export sslhsic-r18 --output model.onnx
    """
    from sslhsic_transfer.adapters.onnx.quantization import Quantization

    options: dict[str, Any] = {
        "outputs": None if outputs is None else [name.strip() for name in outputs.split(",")],
        "precision": precision,
        "input": input_form,
        "calibration": calibration,
        "quantization": Quantization(method, percentile, reduce_range) if precision == "int8" else None,
        "batch": batch,
        "size": size,
        "opset": opset,
        "pictures": pictures,
        "overwrite": overwrite,
    }
    if _is_fine_tuned(model):
        from sslhsic_transfer.transfer.config import TransferConfig
        from sslhsic_transfer.transfer.onnx_export import export_transferred

        if triton is not None and TransferConfig.load(Path(model)).task != "classification":
            raise typer.BadParameter("is for encoders and classifiers; this is a dense model", param_hint="--triton")
        report = export_transferred(model, output, **options)
    else:
        from sslhsic_transfer.adapters.onnx.exporting import export as run
        from sslhsic_transfer.hub.encoder import from_pretrained

        report = run(from_pretrained(model), output, **options)
    typer.echo(report)
    if triton is not None:
        from sslhsic_transfer.adapters.onnx.triton import triton_repository

        typer.echo(f"For Triton: {triton_repository(output, triton, name=triton_name, overwrite=overwrite)}")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Exported ONNX file to check.")],
    model: Model,
    *,
    pictures: Pictures = None,
) -> None:
    """Compare an ONNX file with the model that it was exported from.

    Example: sslhsic verify model.onnx sslhsic-r18
    """
    if _is_fine_tuned(model):
        from sslhsic_transfer.transfer.onnx_export import verify_transferred

        typer.echo(verify_transferred(file, model, pictures))
        return
    from sslhsic_transfer.adapters.onnx.verification import verify as run
    from sslhsic_transfer.hub.encoder import from_pretrained

    typer.echo(run(file, from_pretrained(model), pictures))


def _is_fine_tuned(model: str) -> bool:
    """Tell whether the model is a folder written by `sslhsic transfer`."""
    return (Path(model) / "transfer.json").is_file()
