"""Commands for training: `pretrain`, and `plot` for the logged curves."""

from pathlib import Path
from typing import Annotated

import typer

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.cli.stopping import reporting_saved, what_a_run_saved


def pretrain(
    recipe: Annotated[str, typer.Argument(help="YAML file, or name of a built-in recipe such as demo.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…", help="Settings to change in the recipe, such as epochs=20 loss.gamma=1."
        ),
    ] = None,
    *,
    data: Annotated[
        str, typer.Option(help="Pictures: a folder, tar shards, torchvision://CLASS?root=DIR or hf://ORG/NAME.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run; the trained model is written to OUTPUT/model.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the latest checkpoint in OUTPUT.")] = False,
) -> None:
    """Pretrain an encoder on pictures.

    Example: sslhsic pretrain imagenette-r18 --data photos/ --output runs/first epochs=20
    """
    with reporting_saved(lambda: what_a_run_saved(output)):
        from sslhsic_transfer.pretrain.loop import pretrain as run
        from sslhsic_transfer.pretrain.recipe_file import load_recipe

        model = run(load_recipe(recipe, overrides or ()), data, output, resume=resume)
    if is_main_process():
        typer.echo(f"Model: {model}/")  # the slash distinguishes it from a repository on the Hub


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, finished or still training.")],
    *,
    output: Annotated[Path, typer.Option(help="Picture to write: .png, .pdf or .svg.")] = Path("curves.png"),
    metrics: Annotated[
        str | None,
        typer.Option(help="Names of logged metrics to draw, separated by commas, such as loss,knn; by default all."),
    ] = None,
) -> None:
    """Draw the training curves of runs side by side.

    Example: sslhsic plot runs/first runs/second --output curves.png
    """
    from sslhsic_transfer.pretrain.monitors.plot import plot_runs

    chosen = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    typer.echo(f"Written to {plot_runs(runs, output, chosen)}")
