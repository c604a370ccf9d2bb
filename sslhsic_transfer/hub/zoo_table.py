"""The table of short names, on the screen."""

from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from sslhsic_transfer.hub.files import WEIGHTS_NAME
from sslhsic_transfer.hub.zoo import ZooModel
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.results import RESULTS_NAME, load_results


def print_models(models: Sequence[ZooModel], console: Console | None = None) -> None:
    """Print a row a name: parameters, licence, source, training data, measured figures."""
    console = console or Console()
    table = Table("name", "parameters", "licence", "weights", "trained on", "measured, top-1")
    for model in models:
        trained = model.sha256 is not None
        table.add_row(
            model.name,
            f"{_parameters(model) / 1e6:.1f} M",
            model.licence,
            _source(model) if trained else "none yet",
            model.data if trained else "–",
            "\n".join(_figures(model)) or "–",
        )
    console.print(table)
    if any(model.sha256 is None for model in models):
        console.print("Where there are no weights yet, from_pretrained tells how to train them.", highlight=False)


def _parameters(model: ZooModel) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Encoder(model.encoder).parameters())


def _source(model: ZooModel) -> str:
    return "in the package" if (model.shipped / WEIGHTS_NAME).is_file() else str(model.hub_name)


def _figures(model: ZooModel) -> list[str]:
    path = model.shipped / RESULTS_NAME
    if model.sha256 is None or not path.is_file():
        return []
    own = [result for result in load_results(path) if result.weights_sha256 == model.sha256]
    return [f"{result.dataset} {result.task} {result.figure()}" for result in own if result.metric == "top-1"]
