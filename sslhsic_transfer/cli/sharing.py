"""Commands for published models: `models` lists the short names, `publish` uploads a model."""

from pathlib import Path
from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="Pattern of the names to show, with * and ? as in a shell.")] = "*",
) -> None:
    """Show the short names, with their models and evaluation results.

    Example: sslhsic models 'sslhsic-r*'
    """
    from sslhsic_transfer.hub.zoo import list_models
    from sslhsic_transfer.hub.zoo_table import print_models

    if not (found := list_models(pattern)):
        raise typer.BadParameter(f"no short name is like {pattern!r}; `sslhsic models` shows all", param_hint="PATTERN")
    print_models(found)


def publish(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Model folder that contains a results.json.")],
    *,
    repo: Annotated[str, typer.Option(help="Repository on the Hub, ORG/NAME; created if it does not exist.")],
    licence: Annotated[
        str | None, typer.Option("--license", "--licence", help="License of the weights, such as apache-2.0.")
    ] = None,
    trained_by: Annotated[str | None, typer.Option(help="Person or organization that trained the weights.")] = None,
    fact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Another fact for the model card, such as hours=1.5. Can be given several times."
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private if it is created.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag for this version, such as v1.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch to write to; by default main.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Propose the upload as a pull request.")] = False,
    with_onnx: Annotated[
        str | None,
        typer.Option(
            metavar="PRECISIONS",
            help="Export ONNX files of these precisions first, separated by commas, such as fp32,int8.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="For int8: folder of pictures to calibrate with, of the kind that the model will see."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the folder and show what would be uploaded, without uploading.")
    ] = False,
) -> None:
    """Check a model folder, upload it to the Hugging Face Hub, and read it back.

    Example: sslhsic publish runs/first/model --repo ORG/NAME --license apache-2.0 --trained-by 'Your name' --tag v1
    """
    from sslhsic_transfer.hub.publishing.report import print_report
    from sslhsic_transfer.hub.publishing.upload import publish as run

    given = {"licence": licence, "trained_by": trained_by}
    for text in fact or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint="--fact")
        given[name] = value
    if with_onnx and dry_run:
        raise typer.BadParameter("it writes ONNX files, --dry-run writes nothing", param_hint="--with-onnx")
    if with_onnx:
        from sslhsic_transfer.adapters.onnx.folder import add_onnx

        precisions = [name.strip() for name in with_onnx.split(",")]
        for exported in add_onnx(model, precisions, calibration=calibration):  # type: ignore[arg-type]
            typer.echo(exported)
    report = run(
        model,
        repo,
        private=private,
        tag=tag,
        revision=revision,
        create_pr=create_pr,
        dry_run=dry_run,
        **given,
    )
    print_report(report)
