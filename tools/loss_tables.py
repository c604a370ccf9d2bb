"""Tables of docs/objective.md and docs/comparison.md from what the benchmarks wrote, kept in docs/measured/."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import features, loss, objectives

MEASURED = Path(__file__).parents[1] / "docs/measured"


def _loss(dim: int) -> str:
    """Give the tables of time over batch size, and what follows from them."""
    return loss.report(_read("loss.json")["rows"], dim)


def _noise_over_batches() -> str:
    return loss.noises(_read("loss.json")["rows"])


def _noise_of_ways() -> str:
    """Give the table of ways to draw and use features."""
    return features.table(_read("features.json"))


def _comparison(table: Callable[[list[dict[str, Any]], int], str], batch_size: int) -> str:
    return table(_read(objectives.RESULT), batch_size)


def _read(name: str) -> Any:
    return json.loads((MEASURED / name).read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[], str]] = {
    **{f"loss-{dim}": partial(_loss, dim) for dim in loss.DIMS},
    "loss-noise": _noise_over_batches,
    "gradient-noise": _noise_of_ways,
    **{f"comparison-{size}": partial(_comparison, objectives.comparison_table, size) for size in (64, 256)},
    **{f"trials-{size}": partial(_comparison, objectives.trial_table, size) for size in (64, 256)},
}
