"""The command `sslhsic`: a table of commands, each of which imports its work only when it is called.

Only typer is imported here, so that ``sslhsic --help`` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sslhsic_transfer import __version__
from sslhsic_transfer.cli_convert import convert_app
from sslhsic_transfer.errors import SSLHSICError, TrainingInterruptedError

if TYPE_CHECKING:
    from sslhsic_transfer.evaluate.probe import Task

app = typer.Typer(
    help="Pretrain image encoders with SSL-HSIC and use the same weights everywhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Measure what a model's embeddings are worth.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(convert_app, name="convert")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, such as RUN/model.")]
Train = Annotated[Path, typer.Option(help="Training pictures, one sub-folder a class.")]
Test = Annotated[Path, typer.Option(help="Test pictures, with the same sub-folders.")]
Results = Annotated[Path, typer.Option(help="File that the records are added to.")]
Floors = Annotated[bool, typer.Option("--floors", help="Measure raw pixels and the untrained network, too.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures that go through the network at once.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read pictures.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default CUDA where there is one.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships, such as demo.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change: epochs=20 loss.gamma=1"),
    ] = None,
    *,
    data: Annotated[
        str, typer.Option(help="Pictures: a folder, tar shards, torchvision://CLASS?root=DIR or hf://ORG/NAME.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run; the model will be in OUTPUT/model.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the latest checkpoint in OUTPUT.")] = False,
) -> None:
    """Pretrain an encoder on pictures."""
    from sslhsic_transfer.pretrain.loop import pretrain as run
    from sslhsic_transfer.pretrain.recipe_file import load_recipe

    model = run(load_recipe(recipe, overrides or ()), data, output, resume=resume)
    if _speaks():
        typer.echo(f"Model: {model}")


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, finished or going on.")],
    *,
    output: Annotated[Path, typer.Option(help="Picture to write: .png, .pdf or .svg.")] = Path("curves.png"),
    metrics: Annotated[
        str | None, typer.Option(help="Figures to draw, such as loss,knn; by default all that were logged.")
    ] = None,
) -> None:
    """Draw the training curves of runs side by side."""
    from sslhsic_transfer.pretrain.monitors.plot import plot_runs

    chosen = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    typer.echo(f"Written to {plot_runs(runs, output, chosen)}")


@app.command()
def embed(
    model: Model,
    images: Annotated[Path, typer.Argument(help="A folder of pictures, searched recursively.")],
    *,
    output: Annotated[Path, typer.Option(help="File to write, ending in .parquet.")],
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Embed every picture of a folder: a Parquet file with a row a picture."""
    from sslhsic_transfer.embed.files import embed_folder

    report = embed_folder(
        model, images, output, batch_size=batch_size, workers=workers, device=device, overwrite=overwrite
    )
    typer.echo(f"{report.output}: {report.rows} pictures, {report.dim} numbers each.")
    if report.skipped:
        typer.echo(
            f"{len(report.skipped)} could not be read; they are listed in {report.output}.skipped.csv",
            err=True,
        )


@evaluate_app.command()
def knn(
    model: Model,
    *,
    train: Train,
    test: Test,
    output: Results = Path("results.json"),
    floors: Floors = False,
    k: Annotated[int, typer.Option(min=1, help="Neighbours that vote.")] = 20,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
) -> None:
    """Classify test pictures by a vote of their nearest training pictures."""
    _evaluate(
        model,
        "knn",
        train,
        test,
        None,
        output,
        floors=floors,
        k=k,
        batch_size=batch_size,
        workers=workers,
        device=device,
    )


@evaluate_app.command()
def linear(
    model: Model,
    *,
    train: Train,
    test: Test,
    val: Annotated[
        Path | None, typer.Option(help="Pictures to choose the penalty on; by default a fifth of TRAIN.")
    ] = None,
    output: Results = Path("results.json"),
    floors: Floors = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the validation split.")] = 0,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    device: Device = None,
) -> None:
    """Train a logistic regression on frozen embeddings and test it once."""
    _evaluate(
        model,
        "linear",
        train,
        test,
        val,
        output,
        floors=floors,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        device=device,
    )


def _evaluate(
    model: str,
    task: "Task",
    train: Path,
    test: Path,
    val: Path | None,
    output: Path,
    *,
    floors: bool,
    batch_size: int,
    workers: int,
    device: str | None,
    k: int = 20,
    seed: int = 0,
) -> None:
    from sslhsic_transfer.evaluate.probe import evaluate
    from sslhsic_transfer.evaluate.results import save_results
    from sslhsic_transfer.evaluate.table import print_results

    results = evaluate(
        model,
        [task],
        train=train,
        test=test,
        validation=val,
        floors=floors,
        k=k,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        device=device,
    )
    save_results(output, results)
    print_results(results)
    typer.echo(f"Written to {output}")


def _speaks() -> bool:
    """Whether this is the one of several training processes that speaks."""
    return os.environ.get("RANK", "0") == "0"


def main() -> NoReturn:
    """Run the command line; an error of ours is one message and exit status 1, without a traceback.

    A run that a signal stopped ends with the status that shells give to it, 128 + its number.
    """
    try:
        app()
    except TrainingInterruptedError as stop:
        if _speaks():
            print(stop, file=sys.stderr)
        sys.exit(128 + stop.signal)
    except SSLHSICError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
