"""Tables of docs/gpu.md from what `tools/gpu_check.py` and `benchmarks/gpu.py` wrote, kept in docs/measured/."""

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts.report import short, table
from tools.gpu_checks.check import Figure

MEASURED = Path(__file__).parents[1] / "docs/measured"
_PLACES = 3  # significant digits of a figure


def check_table() -> str:
    """Give each check with its outcome, and of its figures the one nearest to its bound."""
    document = json.loads((MEASURED / "gpu-check.json").read_text(encoding="utf-8"))
    lines = ["| check | outcome | nearest to its bound | s | GiB |", "|---|---|---|---|---|"]
    for check in document["checks"]:
        memory = "–" if not check["peak_gib"] else f"{check['peak_gib']:.2f}"
        outcome = check["outcome"] if check["outcome"] == "passed" else f"**{check['outcome']}**"
        told = _nearest(check["figures"]) or check["reason"]
        lines.append(f"| `{check['name']}` | {outcome} | {told} | {check['seconds']:.0f} | {memory} |")
    return "\n".join(lines) + "\n"


def benchmark_table(part: str) -> str:
    """Give the rows of a part of the benchmark."""
    document = json.loads((MEASURED / "gpu-benchmark.json").read_text(encoding="utf-8"))
    return table(part, document["parts"][part]) + "\n"


def _nearest(figures: list[dict[str, Any]]) -> str:
    bounded = [figure for values in figures if (figure := Figure(**values)).bound is not None]
    if not bounded:
        return ""
    figure = max(bounded, key=lambda figure: figure.strain)
    sign, near_one = "≤" if figure.at_most else "≥", 0.99 < figure.value < 1  # near one: a cosine
    rounded = f"{figure.value:.6f}" if near_one else short(float(f"{figure.value:.{_PLACES}g}"))
    return f"{figure.name} {rounded} ({sign} {figure.bound:g})"
