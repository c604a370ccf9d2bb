"""Results as a table on the screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from sslhsic_transfer.results import Result


def print_results(results: Sequence[Result], console: Console | None = None) -> None:
    """Print one row a model and one column a task, the best figure of each column in bold, protocols below.

    Args:
        results: records of one data set and split.
        console: where to print; standard output by default.
    """
    console = console or Console()
    tasks = list(dict.fromkeys(result.task for result in results))
    models = list(dict.fromkeys(result.model for result in results))
    first = results[0]
    table = Table()
    table.add_column("model")
    for task in tasks:
        table.add_column({"knn": "k-NN"}.get(task, task), justify="right")
    values = {(result.model, result.task): result.value for result in results}
    best = {task: max(value for (_, other), value in values.items() if other == task) for task in tasks}
    for model in models:
        cells = []
        for task in tasks:
            value = values.get((model, task))
            text = "" if value is None else f"{100 * value:.1f}"
            cells.append(f"[bold]{text}[/bold]" if value == best[task] and len(models) > 1 else text)
        table.add_row(model, *cells)
    console.print(f"{first.dataset} / {first.split}: {first.metric} in %, n = {first.n}", highlight=False)
    console.print(table)
    for task in tasks:
        protocol = next(result.protocol for result in reversed(results) if result.task == task)
        console.print(f"{task}: {protocol}", style="dim", highlight=False)
