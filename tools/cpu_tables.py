"""Tables of the guide from what the benchmarks on a CPU wrote, kept in docs/measured/."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import reports

MEASURED = Path(__file__).parents[1] / "docs/measured"


def _reported(report: Callable[[Any], str], name: str) -> str:
    return report(json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8")))


TABLES: dict[str, Callable[[], str]] = {
    "shared-cpu": partial(_reported, reports.shared_cpu, "shared-cpu"),
    "pretraining-speed": partial(_reported, reports.pretraining, "pretrain"),
    "picture-memory": partial(_reported, reports.picture_memory, "picture-memory"),
    "onnx-cost": partial(_reported, reports.onnx, "onnx"),
    "loading": partial(_reported, reports.loading, "load"),
    "demo": partial(_reported, reports.accuracies, "demo"),
    "six-objectives": partial(_reported, reports.accuracies, "six-objectives"),
    "six-objectives-trials": partial(_reported, reports.trials, "six-objectives"),
}
