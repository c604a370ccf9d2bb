"""Printing of the table of short names."""

from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from sslhsic_transfer.hub.config_file import WEIGHTS_NAME
from sslhsic_transfer.hub.zoo import ZooModel
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.results import RESULTS_NAME, load_results

_PROBES = ("knn", "linear")


def print_models(models: Sequence[ZooModel], console: Console | None = None) -> None:
    """Print one row for each name: parameters, license, source, training data, accuracy of its probes."""
    console = console or Console()
    table = Table(show_lines=True)
    for title in ("model", "weights", "trained on", "top-1 %, k-NN / linear"):
        table.add_column(title, no_wrap=title != "trained on")
    for model in models:
        table.add_row(
            f"{model.name}\n{_parameters(model) / 1e6:.1f} M\n{model.licence}",
            _source(model),
            f"{model.data}\nby recipe {model.recipe}",
            "\n".join(_figures(model)) or "–",
        )
    console.print(table)


def _parameters(model: ZooModel) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in EncoderBase(model.encoder).parameters())


def _source(model: ZooModel) -> str:
    return "in the package" if (model.shipped / WEIGHTS_NAME).is_file() else str(model.hub_name)


def _figures(model: ZooModel) -> list[str]:
    path = model.shipped / RESULTS_NAME
    if not path.is_file():
        return []
    measured: dict[str, dict[str, float]] = {}
    for result in load_results(path):
        if result.weights_sha256 == model.sha256 and result.task in _PROBES:
            measured.setdefault(result.dataset, {})[result.task] = 100 * result.value
    return [
        f"{dataset} " + " / ".join(f"{tasks[task]:.1f}" if task in tasks else "–" for task in _PROBES)
        for dataset, tasks in measured.items()
    ]
