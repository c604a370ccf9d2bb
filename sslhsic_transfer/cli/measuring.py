"""Commands that use an encoder: `embed`, and `evaluate` with its probes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslhsic_transfer._precision import Precision, StoredType
from sslhsic_transfer.cli.options import (
    BatchSize,
    Device,
    Floors,
    Model,
    Results,
    Seeds,
    Test,
    Train,
    Workers,
    as_seeds,
)

if TYPE_CHECKING:
    from sslhsic_transfer.evaluate.probe import Probe


def embed(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="Pictures: a folder, searched recursively; tar shards; a .txt list of files, or - for one from "
            "standard input; a .parquet file with pictures; torchvision://… or hf://…."
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(help="File to write, ending in .parquet, .safetensors or .npy.")],
    outputs: Annotated[
        str, typer.Option(help="What to compute, with commas between: pooled, and c2 … c5, the means of stages' maps.")
    ] = "pooled",
    dtype: Annotated[StoredType, typer.Option(help="Type of the values in the file.")] = "float32",
    normalize: Annotated[bool, typer.Option("--normalize", help="Divide each vector by its Euclidean norm.")] = False,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
    precision: Annotated[
        Precision, typer.Option(help="Precision of the network; bf16 and fp16 take about half the time.")
    ] = "fp32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Embed every picture of a source into a file, one row for each. Repeat the command to resume.

    Example: sslhsic embed sslhsic-r18 photos/ --output photos.parquet
    """
    from sslhsic_transfer.cli.stopping import reporting_saved

    work: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "device": device, "precision": precision}
    rows: dict[str, Any] = {"outputs": outputs, "dtype": dtype, "normalize": normalize}
    with reporting_saved(lambda: _saved(output)):
        _embed(model, source, output, overwrite=overwrite, **rows, **work)


def _embed(model: str, source: str, output: Path, **options: Any) -> None:
    from sslhsic_transfer.embed import files

    report = files.embed(model, source, output, **options)
    if report.resumed:
        typer.echo(f"{report.resumed} pictures had been done before.")
    typer.echo(f"{report.output}: {report.rows} pictures, {report.dim} numbers each.")
    if report.skipped:
        typer.echo(
            f"{len(report.skipped)} could not be read; they are listed in {report.output}.skipped.csv",
            err=True,
        )


def _saved(output: Path) -> str:
    """Describe what is saved of a job that a signal stopped."""
    from sslhsic_transfer.embed.parts import parts_folder, pictures_done

    if done := pictures_done(output):
        return f"{done} pictures are done and saved in {parts_folder(output)}; the same command goes on after them."
    return "No rows are saved yet."


def knn(
    model: Model,
    *,
    train: Train,
    test: Test,
    output: Results = Path("results.json"),
    floors: Floors = False,
    k: Annotated[int, typer.Option(min=1, help="Number of nearest neighbors that vote.")] = 20,
    seeds: Seeds = "0",
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
) -> None:
    """Classify test pictures by a vote of their nearest training pictures.

    Example: sslhsic evaluate knn sslhsic-r18 --train data/train --test data/test
    """
    options = {"train": train, "test": test, "floors": floors, "k": k, "seeds": as_seeds(seeds)}
    _evaluate(model, "knn", output, **options, batch_size=batch_size, workers=workers, device=device)


def linear(
    model: Model,
    *,
    train: Train,
    test: Test,
    val: Annotated[
        Path | None,
        typer.Option(
            help="Validation pictures, on which the penalty is chosen; by default a fifth of the training pictures."
        ),
    ] = None,
    output: Results = Path("results.json"),
    floors: Floors = False,
    seeds: Seeds = "0",
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
) -> None:
    """Train a logistic regression on frozen embeddings and test it once.

    Example: sslhsic evaluate linear sslhsic-r18 --train data/train --val data/val --test data/test
    """
    options = {"train": train, "test": test, "validation": val, "floors": floors, "seeds": as_seeds(seeds)}
    _evaluate(model, "linear", output, **options, batch_size=batch_size, workers=workers, device=device)


def _evaluate(model: str, task: "Probe", output: Path, **options: Any) -> None:
    from sslhsic_transfer.cli.stopping import reporting_saved
    from sslhsic_transfer.evaluate.probe import evaluate
    from sslhsic_transfer.evaluate.table import print_results
    from sslhsic_transfer.results import check_results, save_results

    with reporting_saved(lambda: f"No record was added to {output}."):
        check_results(output)
        results = evaluate(model, [task], **options)
    print_results(results)
    save_results(output, results)
    typer.echo(f"Written to {output}")
