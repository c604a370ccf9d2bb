"""Arguments and options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model: a folder such as RUN/model/, org/repo on the Hub, or a short name."),
]
Train = Annotated[Path, typer.Option(help="Training pictures, one sub-folder a class.")]
Test = Annotated[Path, typer.Option(help="Test pictures, with the same sub-folders.")]
Results = Annotated[Path, typer.Option(help="File that the records are added to.")]
Floors = Annotated[bool, typer.Option("--floors", help="Measure raw pixels and the untrained network, too.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures that go through the network at once.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read pictures.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default CUDA where there is one.")]
Seeds = Annotated[str, typer.Option(metavar="N,…", help="Seeds of what is random: the figure is their mean.")]


def as_seeds(text: str) -> list[int]:
    """Parse a list of seeds: ``"0,1,2"`` -> ``[0, 1, 2]``."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise typer.BadParameter(
            f"expected different numbers from 0 on, such as 0,1,2, got {text!r}", param_hint="--seeds"
        )
    return seeds
