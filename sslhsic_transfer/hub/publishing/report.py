"""Printing of the result of publishing."""

from rich.console import Console
from rich.table import Table

from sslhsic_transfer.hub.publishing.upload import PublishReport


def print_report(report: PublishReport, console: Console | None = None) -> None:
    """Print each file with its size and state, then the address, or that nothing was uploaded."""
    console = console or Console()
    table = Table("file", "size", "on the Hub")
    table.columns[1].justify = "right"
    for name, (size, state) in report.files.items():
        table.add_row(name, _size(size), state)
    console.print(table)
    if report.left_out:
        console.print(f"Not uploaded: {', '.join(report.left_out)}", highlight=False)
    if report.note:
        console.print(report.note, highlight=False)
    tagged = f", tagged {report.tag}" if report.tag else ""
    if report.commit is None:
        console.print(f"A dry run: the folder is fit to be published as {report.repo_id}{tagged}.", highlight=False)
    elif report.url is None:
        console.print(f"{report.repo_id} holds all of it already, at {report.commit}{tagged}.", highlight=False)
    else:
        console.print(f"Published, read back and verified: {report.url}{tagged}", highlight=False, soft_wrap=True)
        if report.tag:
            console.print(f'from_pretrained("{report.repo_id}@{report.tag}")', highlight=False)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
