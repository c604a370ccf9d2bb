"""Plots of several runs' training curves from their metrics.jsonl, with one panel per figure and one color per run."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import ConfigError, DataError, RunNotFoundError
from sslhsic_transfer.pretrain.monitors.panels import PANELS, Curve, draw_curve, finish_panel, grid_shape
from sslhsic_transfer.training.run_folder import RunFolder

# Entries of metrics.jsonl that locate a line in the run and are not drawn as curves.
_NO_CURVES = {"step", "epoch", "hours_left"}
_FORMATS = ("png", "pdf", "svg")
_PANEL_WIDTH, _PANEL_HEIGHT, _LEGEND_LINE = 4.0, 2.6, 0.22  # inches
_DPI = 110


def plot_runs(runs: Sequence[str | Path], output: str | Path, metrics: Sequence[str] | None = None) -> Path:
    """Draw the training curves of finished or ongoing runs, over epochs, or over steps if any run logs no epochs.

    Args:
        runs: folders of runs; one that is named twice is drawn once.
        output: the picture, ending in .png, .pdf or .svg; an existing file is replaced.
        metrics: the figures to draw, in this order. By default all that any run has logged.

    Returns:
        ``output``.

    Raises:
        RunNotFoundError: a folder has no metrics.jsonl, or it holds no figures yet.
        DataError: a metrics.jsonl is damaged.
        ConfigError: no run has logged one of the ``metrics``, or ``output`` has another ending.
        MissingDependencyError: Matplotlib is not installed.
    """
    output = Path(output)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in _FORMATS:
        raise ConfigError(f"Cannot draw {output}: expected a name that ends in .png, .pdf or .svg.")
    folders = list(dict.fromkeys(Path(os.path.abspath(run)) for run in runs))  # noqa: PTH100 - links keep their names
    if not folders:
        raise ConfigError("Got no run to draw; expected one folder or more.")
    records = [read_records(folder) for folder in folders]
    axis = axis_of(records)
    curves = [as_curves(run, axis) for run in records]
    names = _chosen(metrics, {name for run in curves for name in run})
    figure = _draw(run_names(folders), curves, names, axis)
    with atomic_path(output) as temporary:
        figure.savefig(temporary, format=kind, dpi=_DPI)
    return output


def read_records(folder: Path) -> list[dict[str, float]]:
    """Read the figures that a run has logged, each line with its step; values that are not finite are left out.

    Raises:
        RunNotFoundError: there is no metrics.jsonl, or it holds no figures.
        DataError: metrics.jsonl is damaged.
    """
    run = RunFolder(folder)
    if not run.metrics.is_file():
        raise RunNotFoundError(
            f"{folder} holds no {run.metrics.name}; expected the folder of a run, the --output of `sslhsic pretrain` "
            "or `sslhsic transfer` (by mmsegmentation and Detectron2 it is written when training ends)."
        )
    try:
        records = [
            {"step": record["step"]}
            | {key: value for key, value in record.items() if isinstance(value, int | float) and math.isfinite(value)}
            for record in run.read_metrics()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{run.metrics} is damaged ({error!r}); expected one JSON object a line, each with its step."
        ) from error
    if not any(record.keys() - _NO_CURVES for record in records):
        raise RunNotFoundError(f"{run.metrics} holds no figures yet; wait for the run's first logged step.")
    return records


def axis_of(runs: Sequence[Sequence[dict[str, float]]]) -> str:
    """Choose the runs' common axis: ``epoch``, or ``step`` if a fine-tune is among them."""
    return "epoch" if all("epoch" in record for run in runs for record in run) else "step"


def as_curves(records: Sequence[dict[str, float]], axis: str) -> dict[str, Curve]:
    """Collect the curve of each figure of a run: positions on the axis, and values."""
    curves: dict[str, Curve] = {}
    for record in records:
        for name in record.keys() - _NO_CURVES:
            places, values = curves.setdefault(name, ([], []))
            places.append(record[axis])
            values.append(record[name])
    return curves


def run_names(folders: Sequence[Path]) -> list[str]:
    """Shorten different paths to distinct endings: ``run``, or ``monday/run`` and ``tuesday/run``."""
    lengths = [1] * len(folders)
    while True:
        names = ["/".join(folder.parts[-length:]) for folder, length in zip(folders, lengths, strict=True)]
        counts = Counter(names)
        if max(counts.values()) == 1:
            return names
        lengths = [length + (counts[name] > 1) for name, length in zip(names, lengths, strict=True)]


def _chosen(wanted: Sequence[str] | None, logged: set[str]) -> list[str]:
    """Choose the names of the panels, in order."""
    known = [name for name in PANELS if name in logged]
    available = known + sorted(logged - PANELS.keys())
    if wanted is None:
        return available
    if not wanted:
        raise ConfigError(f"No metrics asked for; expected some of: {', '.join(available)}.")
    if missing := [name for name in wanted if name not in logged]:
        raise ConfigError(f"No run has logged {', '.join(missing)}; expected some of: {', '.join(available)}.")
    return list(dict.fromkeys(wanted))


def _draw(runs: list[str], curves: list[dict[str, Curve]], names: list[str], axis: str) -> Any:
    """Build the figure from Matplotlib's objects, which needs no display and changes no global state."""
    figures = optional_import("matplotlib.figure", extra="pretrain", purpose="Plotting")
    lines = optional_import("matplotlib.lines", extra="pretrain", purpose="Plotting")
    rows, columns = grid_shape(len(names))
    legend_columns = max(1, int(columns * _PANEL_WIDTH * 11) // (max(map(len, runs)) + 8))
    legend_rows = math.ceil(len(runs) / legend_columns)
    size = columns * _PANEL_WIDTH, rows * _PANEL_HEIGHT + (legend_rows + 1) * _LEGEND_LINE
    figure = figures.Figure(figsize=size, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    colors = _colors(len(runs))
    places = [place for run in curves for name in names if name in run for place in run[name][0]]
    span = max(places) - min(places)
    for number, (axes, name) in enumerate(zip(grid, names, strict=False)):
        for place, (run, color) in enumerate(zip(curves, colors, strict=True)):
            if name in run:
                width = 1.6 + 2 * (1 - (place + 1) / len(curves))
                draw_curve(axes, name, run[name], color, span=span, width=width)
        finish_panel(axes, name, axis if number + columns >= len(names) else "")
    for axes in grid[len(names) :]:
        axes.remove()
    handles = [lines.Line2D([], [], color=color, linewidth=2.5) for color in colors]
    placeholders = [str(number) for number in range(len(runs))]
    legend = figure.legend(
        handles, placeholders, loc="outside upper left", ncols=legend_columns, frameon=False, fontsize=10
    )
    for text, name in zip(legend.get_texts(), runs, strict=True):
        text.set_text(name)
        text.set_parse_math(False)
    return figure


def _colors(count: int) -> list[Any]:
    """Choose a color for each run: distinct ones for up to ten runs, along the rainbow for more."""
    colormaps = optional_import("matplotlib", extra="pretrain", purpose="Plotting").colormaps
    if count <= 10:
        return list(colormaps["tab10"].colors[:count])
    return [colormaps["turbo"]((number + 0.5) / count) for number in range(count)]
