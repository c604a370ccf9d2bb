"""The commands `sslhsic transfer …`: fine-tune an encoder on a task, evaluate it, and save the model."""

from pathlib import Path
from typing import Annotated

import typer

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.cli.stopping import reporting_saved, what_a_run_saved
from sslhsic_transfer.transfer.frameworks import frameworks_of
from sslhsic_transfer.transfer.tasks import TASKS, TaskRow

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


def _add_command(task: str, row: TaskRow) -> None:
    """Add the command of a task, which takes the frameworks that do it."""
    frameworks = frameworks_of(task)

    def run(
        model: Encoder,
        overrides: Overrides = None,
        *,
        data: Data,
        output: Output,
        framework: Annotated[
            str, typer.Option(metavar="|".join(frameworks), help="Framework whose networks are trained.")
        ] = frameworks[0],
        init: Init = "pretrained",
        resume: Resume = False,
    ) -> None:
        _run(task, model, data, output, framework, init, overrides, resume)

    lines = filter(None, (row.summary, row.advice, f"Example: sslhsic transfer {task} {row.example}"))
    transfer_app.command(task, help="\n\n".join(lines))(run)


def _run(
    task: str,
    model: str,
    data: Path,
    output: Path,
    framework: str,
    init: str,
    overrides: list[str] | None,
    resume: bool,
) -> None:
    with reporting_saved(lambda: what_a_run_saved(output)):
        from sslhsic_transfer.evaluate.table import print_results
        from sslhsic_transfer.transfer.run import transfer

        results = transfer(
            task, model, data, output, framework=framework, init=init, overrides=overrides or (), resume=resume
        )
    if is_main_process():
        print_results(results)
        typer.echo(f"Model: {output / 'model'}/; figures: {output / 'results.json'}; see {output / 'predictions.png'}")


for _task, _row in TASKS.items():
    _add_command(_task, _row)
