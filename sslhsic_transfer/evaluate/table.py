"""Printing of results as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from sslhsic_transfer.results import LOWER_IS_BETTER, Result

# A column: a task and one of its metrics.
_Column = tuple[str, str]


def print_results(results: Sequence[Result], console: Console | None = None) -> None:
    """Print one row for each model, one column for each task and metric, best figures in bold, and the protocols.

    Args:
        results: records of one data set and split.
        console: where to print; standard output by default.
    """
    console = console or Console()
    columns = list(dict.fromkeys(_column(result) for result in results))
    models = list(dict.fromkeys(result.model for result in results))
    table = Table()
    table.add_column("model")
    for column in columns:
        table.add_column(_title(column, columns), justify="right")
    cells = {(result.model, _column(result)): result for result in results}
    best = {column: _best(column, results) for column in columns}
    for model in models:
        row = []
        for column in columns:
            result = cells.get((model, column))
            text = "" if result is None else result.figure()
            outstanding = result is not None and result.value == best[column] and len(models) > 1
            row.append(f"[bold]{text}[/bold]" if outstanding else text)
        table.add_row(model, *row)
    first = results[0]
    console.print(f"{first.dataset} / {first.split}, n = {first.n}", highlight=False)
    console.print(table)
    for task in dict.fromkeys(task for task, _ in columns):
        protocol = next(result.protocol for result in reversed(results) if result.task == task)
        console.print(f"{task}: {protocol}", style="dim", highlight=False)


def _column(result: Result) -> _Column:
    return result.task, result.metric


def _title(column: _Column, columns: Sequence[_Column]) -> str:
    """Return the task, or the metric if the task has several columns."""
    task, metric = column
    alone = sum(other == task for other, _ in columns) == 1
    return {"knn": "k-NN"}.get(task, task) if alone else metric


def _best(column: _Column, results: Sequence[Result]) -> float:
    values = [result.value for result in results if _column(result) == column]
    return min(values) if column[1] in LOWER_IS_BETTER else max(values)
