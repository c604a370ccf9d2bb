"""The commands `sslhsic export` and `sslhsic verify`: ONNX files that run without torch.

Only typer is imported before a command runs.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sslhsic_transfer.cli.options import Model

Pictures = Annotated[
    Path | None,
    typer.Option(help="Pictures to verify with, one sub-folder a class; by default those that came with the package."),
]


def export(
    model: Model,
    *,
    output: Annotated[Path, typer.Option(help="File to write, such as model.onnx.")],
    outputs: Annotated[
        str | None,
        typer.Option(
            help="With commas: pooled, c2 to c5; of classifiers logits, too; of segmentation logits, classes."
        ),
    ] = None,
    precision: Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="int8 needs --calibration.")] = "fp32",
    input_form: Annotated[
        Literal["normalized", "resized", "pictures"],
        typer.Option(
            "--input",
            help="What it takes: normalized float pictures; uint8 pictures of the right size; uint8 pictures of any.",
        ),
    ] = "normalized",
    batch: Annotated[int | None, typer.Option(min=1, help="Fixed number of pictures; by default any.")] = None,
    size: Annotated[int | None, typer.Option(min=32, help="Fixed side in pixels; by default any.")] = None,
    opset: Annotated[int, typer.Option(help="Version of the standard operators.")] = 20,
    calibration: Annotated[Path | None, typer.Option(help="For int8: pictures of the kind it will see.")] = None,
    method: Annotated[
        Literal["minmax", "percentile", "entropy"], typer.Option(help="For int8: how ranges are found.")
    ] = "minmax",
    percentile: Annotated[float, typer.Option(help="For --method percentile: share of values kept.")] = 99.999,
    reduce_range: Annotated[
        bool | None,
        typer.Option("--reduce-range/--full-range", help="For int8: weights of 7 bits; by default as this CPU needs."),
    ] = None,
    pictures: Pictures = None,
    triton: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Put it into this model repository of Triton, too.")
    ] = None,
    triton_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What Triton shall call it; by default the model's name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model, or a fine-tuned one (RUN/model/), as a verified ONNX file."""
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
        from sslhsic_transfer.hub.loading import from_pretrained

        report = run(from_pretrained(model), output, **options)
    typer.echo(report)
    if triton is not None:
        from sslhsic_transfer.adapters.onnx.triton import triton_repository

        typer.echo(f"For Triton: {triton_repository(output, triton, name=triton_name, overwrite=overwrite)}")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="An exported file.")],
    model: Model,
    *,
    pictures: Pictures = None,
) -> None:
    """Compare an ONNX file with the model that it was exported from."""
    if _is_fine_tuned(model):
        from sslhsic_transfer.transfer.onnx_export import verify_transferred

        typer.echo(verify_transferred(file, model, pictures))
        return
    from sslhsic_transfer.adapters.onnx.verification import verify as run
    from sslhsic_transfer.hub.loading import from_pretrained

    typer.echo(run(file, from_pretrained(model), pictures))


def _is_fine_tuned(model: str) -> bool:
    """Tell whether the model is a folder written by `sslhsic transfer`."""
    return (Path(model) / "transfer.json").is_file()
