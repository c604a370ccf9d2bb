"""The commands `sslhsic transfer …`: fine-tune an encoder on a task, evaluate it, and save the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.cli.stopping import saying, what_a_run_saved

if TYPE_CHECKING:
    from sslhsic_transfer.transfer.config import Framework
    from sslhsic_transfer.transfer.settings import Task

transfer_app = typer.Typer(help="Fine-tune an encoder on a task, and evaluate it.", no_args_is_help=True)

Encoder = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Encoder: a folder such as RUN/model/, org/repo on the Hub, or a short name. With --init random also the "
        "name of an architecture, such as resnet18.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change, such as iterations=500 learning_rate=1e-3."),
]
Data = Annotated[Path, typer.Option(help="Folder of the data set.")]
Output = Annotated[Path, typer.Option(help="Folder of the run; the trained model is written to OUTPUT/model.")]
Init = Annotated[
    str,
    typer.Option(
        help="Initial weights of the encoder: pretrained (those of MODEL), random, supervised (torchvision's for "
        "ImageNet), or another model."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the latest checkpoint in OUTPUT.")]


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
    """Fine-tune for classification, and measure top-1 accuracy.

    For training with few labels set label_share=0.01, for training the linear layer only freeze_at=5.

    Example: sslhsic transfer classification sslhsic-r18 --data data/flowers --output runs/flowers iterations=500
    """
    _run("classification", model, data, output, "torchvision", init, overrides, resume)


@transfer_app.command()
def segmentation(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    framework: Annotated[
        Literal["torchvision", "mmseg"], typer.Option(help="Framework whose networks are trained.")
    ] = "torchvision",
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for semantic segmentation, and measure mIoU.

    Example: sslhsic transfer segmentation sslhsic-r18 --data data/street --output runs/street resize=360
    """
    _run("segmentation", model, data, output, framework, init, overrides, resume)


@transfer_app.command()
def detection(
    model: Encoder,
    overrides: Overrides = None,
    *,
    data: Data,
    output: Output,
    framework: Annotated[
        Literal["torchvision", "detectron2"], typer.Option(help="Framework whose networks are trained.")
    ] = "torchvision",
    init: Init = "pretrained",
    resume: Resume = False,
) -> None:
    """Fine-tune for object detection, and measure COCO's average precision.

    Example: sslhsic transfer detection sslhsic-r18 --data data/cells --output runs/cells network=retinanet
    """
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
    """Fine-tune for depth from one picture, and measure AbsRel, RMSE and δ < 1.25.

    Example: sslhsic transfer depth sslhsic-r18 --data data/rooms --output runs/rooms network=upproj
    """
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
