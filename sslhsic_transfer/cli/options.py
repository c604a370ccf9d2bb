"""Arguments and options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Model: a folder such as RUN/model/, org/repo on the Hub, or a short name."),
]
Train = Annotated[Path, typer.Option(help="Folder of training pictures, one subfolder per class.")]
Test = Annotated[Path, typer.Option(help="Folder of test pictures, with the same subfolders.")]
Results = Annotated[Path, typer.Option(help="JSON file to which the results are added.")]
Floors = Annotated[
    bool, typer.Option("--floors", help="Also measure raw pixels and the untrained network, for comparison.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Number of pictures that go through the network at once.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Number of processes that read pictures; 0: the main process reads them itself.")
]
Device = Annotated[
    str | None,
    typer.Option(help="Device to compute on, such as cpu or cuda:0; by default a GPU if there is one, else the CPU."),
]
Seeds = Annotated[
    str,
    typer.Option(
        metavar="N,…", help="Seeds of everything random, separated by commas; the result is the mean over them."
    ),
]


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
