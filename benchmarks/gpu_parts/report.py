"""Figures as rows: measured or not run and why, with their goals, written to a file as they come."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_parts.settings import Settings
from sslhsic_transfer._files import write_json
from sslhsic_transfer._precision import tensor_float_32
from sslhsic_transfer._processors import usable_cpus

MEASURED, NOT_RUN, FAILED = "measured", "not run", "failed"


@dataclass(frozen=True)
class Figure:
    """The result of a measurement.

    Attributes:
        value: the figure.
        details: further figures, by name.
    """

    value: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: what was measured.
        unit: the unit of the value.
        value: the figure; None: not measured.
        goal: the goal for the value; empty: none.
        met: whether the goal is reached; None: there is none, or no value.
        state: `MEASURED`, `NOT_RUN` (a peer that is not there, no time left) or `FAILED`.
        note: why it was not measured.
        details: further figures.
    """

    name: str
    unit: str
    value: float | None
    goal: str = ""
    met: bool | None = None
    state: str = MEASURED
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Report:
    """The rows of one part.

    Args:
        path: the file, written anew with each row.
        settings: how the run was called.
        seconds: after which nothing new is begun.
    """

    def __init__(self, path: Path, settings: Settings, seconds: float) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        self._facts = facts(settings)
        self._start = time.perf_counter()
        self._end = self._start + seconds

    def value(self, name: str) -> float | None:
        """Return the figure of an earlier row; None where there is none."""
        return self.rows[name].value if name in self.rows else None

    def measure(
        self,
        name: str,
        unit: str,
        function: Callable[[], Figure | float],
        *,
        peer: bool = False,
        unless: str = "",
    ) -> float | None:
        """Measure something and add its row, whatever becomes of it.

        Args:
            name: of the row.
            unit: the unit of the figure.
            function: measures it.
            peer: whether it is another library's: that it does not run is no failure of ours.
            unless: why it is not run; empty: it is.

        Returns:
            The figure; None: there is none.
        """
        if not unless and time.perf_counter() > self._end:
            unless = "no time was left"
        if unless:
            self.add(Row(name, unit, None, state=NOT_RUN, note=unless))
            return None
        begun = time.perf_counter()
        try:
            found = function()
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            self.add(Row(name, unit, None, state=NOT_RUN if peer else FAILED, note=reason))
            return None
        figure = found if isinstance(found, Figure) else Figure(found)
        self.add(Row(name, unit, figure.value, details=figure.details | {"took, s": time.perf_counter() - begun}))
        return figure.value

    def ratio(
        self, name: str, above: str, below: str | list[str], *, at_least: float | None = None, best: bool = False
    ) -> None:
        """Add the ratio of two rows' figures.

        Args:
            name: of the row.
            above: name of the row that is divided.
            below: name of the row to divide by; of several, the one with the smallest figure: what bounds the others.
            at_least: the goal; None: none.
            best: whether the largest of several counts instead, and of those that ran: the best peer.
        """
        names = [below] if isinstance(below, str) else below
        found = {row: value for row in names if (value := self.value(row)) is not None}
        dividend = self.value(above)
        if dividend is None or not found or (len(found) < len(names) and not best):
            missing = [row for row in (above, *names) if self.value(row) is None]
            self.judge(name, None, at_least=at_least, note=f"without {', '.join(missing)}")
            return
        by = (max if best else min)(found, key=lambda row: found[row])
        self.judge(name, dividend / found[by], unit="×", at_least=at_least, details={"by": by} if names[1:] else {})

    def judge(
        self,
        name: str,
        value: float | None,
        *,
        unit: str = "",
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        """Add a row for a figure that follows from others, with its goal.

        Args:
            name: of the row.
            value: the figure; None: there is none, and ``note`` says why.
            unit: of the figure.
            at_least: the goal.
            at_most: the goal.
            note: why there is no figure.
            details: further figures.
        """
        goals = {sign: goal for sign, goal in (("≥", at_least), ("≤", at_most)) if goal is not None}
        words = " and ".join(f"{sign} {short(goal)}" for sign, goal in goals.items())
        if value is None:
            self.add(Row(name, unit, None, words, state=NOT_RUN, note=note))
            return
        met = all(value >= goal if sign == "≥" else value <= goal for sign, goal in goals.items())
        self.add(Row(name, unit, value, words, met if goals else None, details=details or {}))

    def add(self, row: Row) -> None:
        """Add a row, print it, and write the file."""
        self.rows[row.name] = row
        write_json(
            self.path,
            {
                "facts": self._facts,
                "measuring": time.perf_counter() - self._start,
                "rows": [asdict(each) for each in self.rows.values()],
            },
        )
        print(f"{row.name}: {_figure(asdict(row))} {row.note}".rstrip(), file=sys.stderr, flush=True)


def table(title: str, found: dict[str, Any]) -> str:
    """Format a Markdown table: a line for each row."""
    lines = [f"| {title}, {found['seconds']:.0f} s | figure | goal | met | |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        met = {True: "yes", False: "**no**", None: ""}[row["met"]]
        details = "; ".join(f"{name} {short(value)}" for name, value in row["details"].items() if name != "took, s")
        lines.append(f"| {row['name']} | {_figure(row)} | {row['goal']} | {met} | {row['note'] or details} |")
    return "\n".join(lines)


def _figure(row: dict[str, Any]) -> str:
    return row["state"] if row["value"] is None else f"{short(row['value'])} {row['unit']}".rstrip()


def short(value: Any) -> str:
    """Write a figure with four digits."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def facts(settings: Settings) -> dict[str, Any]:
    """Return what the figures depend on, besides the code."""
    found: dict[str, Any] = {
        "device": settings.device,
        "quick": settings.quick,
        "workers": settings.workers,
        "batch size": settings.batch_size,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processors": usable_cpus(),
        "threads": torch.get_num_threads(),
    }
    if settings.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "card": properties.name,
            "card GiB": properties.total_memory / 2**30,
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "float32": tensor_float_32(),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "all"),
        }
    return found


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
