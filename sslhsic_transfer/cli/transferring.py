"""The commands `sslhsic transfer …`: fine-tune an encoder on a task, evaluate it, and save the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.cli.stopping import saying, what_a_run_saved

if TYPE_CHECKING:
    from sslhsic_transfer.transfer.config import Framework
    from sslhsic_transfer.transfer.settings import Task

transfer_app = typer.Typer(help="Fine-tune an encoder on a task.", no_args_is_help=True)

Encoder = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="The encoder: a folder such as RUN/model/, org/repo on the Hub, or a short name; with --init random an "
        "architecture such as resnet18, too.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change: iterations=500 learning_rate=1e-3"),
]
Data = Annotated[Path, typer.Option(help="Folder of the data set.")]
Output = Annotated[Path, typer.Option(help="Folder of the run; the model will be in OUTPUT/model.")]
Init = Annotated[
    str, typer.Option(help="The encoder's weights: pretrained, random, supervised (torchvision's), or another MODEL.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the latest checkpoint in OUTPUT.")]


@transfer_app.command()
def classification(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for classification (top-1). Few labels: label_share=0.01. Linear layer only: freeze_at=5."""
    _run("classification", model, data, output, "torchvision", init, overrides, resume)


@transfer_app.command()
def segmentation(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    framework: Annotated[Literal["torchvision", "mmseg"], typer.Option(help="Whose networks.")] = "torchvision",
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for semantic segmentation (mIoU)."""
    _run("segmentation", model, data, output, framework, init, overrides, resume)


@transfer_app.command()
def detection(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    framework: Annotated[Literal["torchvision", "detectron2"], typer.Option(help="Whose networks.")] = "torchvision",
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for object detection (COCO's average precision)."""
    _run("detection", model, data, output, framework, init, overrides, resume)


@transfer_app.command()
def depth(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for depth from one picture (AbsRel, RMSE, δ < 1.25)."""
    _run("depth", model, data, output, "depth", init, overrides, resume)


def _run(
    task: "Task",
    model: str,
    data: Path,
    output: Path,
    framework: "Framework",
    init: str,
    overrides: list[str] | None,
    resume: bool,
) -> None:
    with saying(lambda: what_a_run_saved(output)):
        from sslhsic_transfer.evaluate.table import print_results
        from sslhsic_transfer.transfer.run import transfer

        results = transfer(
            task, model, data, output, framework=framework, init=init, overrides=overrides or (), resume=resume
        )
    if is_main_process():
        print_results(results)
        typer.echo(f"Model: {output / 'model'}/; figures: {output / 'results.json'}; see {output / 'predictions.png'}")
