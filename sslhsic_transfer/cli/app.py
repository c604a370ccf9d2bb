"""The table of commands. Each command imports what it needs only when it is called.

Only typer is imported here, so that ``sslhsic --help`` responds at once.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sslhsic_transfer import __version__
from sslhsic_transfer.cli import exporting, measuring, sharing, training
from sslhsic_transfer.cli.converting import convert_app
from sslhsic_transfer.cli.stopping import Stopped
from sslhsic_transfer.cli.transferring import transfer_app


class _Commands(TyperGroup):
    """Command group that leaves Ctrl-C to `sslhsic_transfer.cli.main`, which reports what is saved."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(*error.args) from error


app = typer.Typer(
    cls=_Commands,
    help="Pretrain image encoders with SSL-HSIC and use the same weights everywhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Measure the quality of a model's embeddings.", no_args_is_help=True)

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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
