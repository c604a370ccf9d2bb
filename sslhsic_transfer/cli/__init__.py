"""The command `sslhsic`: a table of commands, each of which imports its work only when it is called.

Only typer is imported here, so that ``sslhsic --help`` answers at once.
"""

import errno
import sys
from typing import Annotated, NoReturn

import typer

from sslhsic_transfer import __version__
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer._threads import share_processors
from sslhsic_transfer.cli import exporting, measuring, sharing, training
from sslhsic_transfer.cli.converting import convert_app
from sslhsic_transfer.cli.transferring import transfer_app
from sslhsic_transfer.errors import SSLHSICError, TrainingInterruptedError

app = typer.Typer(
    help="Pretrain image encoders with SSL-HSIC and use the same weights everywhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Measure what a model's embeddings are worth.", no_args_is_help=True)

for command in (
    sharing.models,
    training.pretrain,
    training.plot,
    measuring.embed,
    exporting.export,
    exporting.verify,
    sharing.publish,
):
    app.command()(command)
for probe in (measuring.knn, measuring.linear):
    evaluate_app.command()(probe)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(transfer_app, name="transfer")
app.add_typer(convert_app, name="convert")


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


def main() -> NoReturn:
    """Run the command line; an error of ours or of the machine is one message and exit status 1, without a traceback.

    A run that a signal stopped ends with the status that shells give to it, 128 + its number.
    """
    trains = sys.argv[1:2] in (["pretrain"], ["transfer"]) and "--help" not in sys.argv
    if (notice := share_processors(computes=trains)) is not None and is_main_process():
        print(notice, file=sys.stderr)
    try:
        app()
    except TrainingInterruptedError as stop:
        if is_main_process():
            print(stop, file=sys.stderr)
        sys.exit(128 + stop.signal)
    except SSLHSICError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # of the machine: no room, no such folder, no permission
        where = f"{error.filename}: " if error.filename is not None else ""
        room = ". Make room, then start the same command again" if error.errno == errno.ENOSPC else ""
        print(f"error: {where}{error.strerror or error}{room}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
