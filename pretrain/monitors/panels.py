"""Panels of training curves: the title and style of each logged figure, and the drawing of a run's curve."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Curve = tuple[list[float], list[float]]  # epochs or steps, and values

# Curves whose points are further apart than this share of the axis have a marker at each.
_SPARSE = 1 / 40
# Noisy curves are smoothed over this share of the axis to either side.
_REACH = 1 / 50
_INK, _FAINT = "#333333", "#dddddd"


@dataclass(frozen=True)
class Panel:
    """Style of the panel that shows one figure of metrics.jsonl.

    Attributes:
        title: title of the panel.
        unit: label of the vertical axis; empty for plain numbers.
        factor: factor that converts values to that unit.
        noisy: whether it jumps from step to step; a long curve is then smoothed, with the raw one faint behind it.
    """

    title: str
    unit: str = ""
    factor: float = 1.0
    noisy: bool = True


# In drawing order. Figures that are not listed come last, under their own names.
PANELS: dict[str, Panel] = {
    "loss": Panel("loss"),
    "knn": Panel("online k-NN", "accuracy, %", factor=100, noisy=False),
    "linear": Panel("online linear probe", "accuracy, %", factor=100, noisy=False),
    "hsic_zy": Panel("HSIC(Z, Y)"),
    "hsic_zz": Panel("HSIC(Z, Z)"),
    "hsic_zy_noise": Panel("noise of HSIC(Z, Y)", "standard deviation"),
    "gradient_noise": Panel("noise of the gradient", "relative to its norm"),
    "exact": Panel("exact loss", "1: all pairs, 0: random features", noisy=False),
    "kernel_scale": Panel("kernel scale", noisy=False),
    "embedding_std": Panel("spread of the embeddings", "1: even, 0: collapsed"),
    "rankme": Panel("RankMe", "effective rank", noisy=False),
    "gradient_norm": Panel("norm of the gradient"),
    "learning_rate": Panel("learning rate", noisy=False),
    "target_decay": Panel("target's decay", noisy=False),
    "images_per_second": Panel("speed", "pictures/s"),
    "memory_gib": Panel("memory", "GiB", noisy=False),
}


def draw_curve(axes: Any, name: str, curve: Curve, color: Any, *, span: float, width: float) -> None:
    """Draw one run's curve of one figure.

    Args:
        axes: Matplotlib's axes.
        name: name of the figure.
        curve: its epochs or steps, and values.
        color: the run's color.
        span: length of the axis over all runs, in epochs or steps.
        width: width of a smooth line in points; a wider one shows behind another that covers it.
    """
    panel = PANELS.get(name, Panel(name))
    places, values = curve[0], [panel.factor * value for value in curve[1]]
    style: dict[str, Any] = {"color": color, "solid_joinstyle": "round", "solid_capstyle": "round"}
    spacing = (places[-1] - places[0]) / max(1, len(places) - 1)
    if len(places) == 1 or spacing > _SPARSE * span:
        axes.plot(places, values, linewidth=1.6, marker="o", markersize=4, **style)
    elif panel.noisy:
        axes.plot(places, values, linewidth=0.7, alpha=0.25, **style)
        axes.plot(places, smoothed(values, max(1, round(_REACH * span / spacing))), linewidth=1.6, **style)
    else:
        axes.plot(places, values, linewidth=width, **style)


def finish_panel(axes: Any, name: str, below: str) -> None:
    """Give a panel its title, labels and grid.

    Args:
        axes: Matplotlib's axes, with their curves.
        name: name of the figure.
        below: label of the horizontal axis for the last panel of a column; empty for the others.
    """
    panel = PANELS.get(name, Panel(name))
    # Names of figures and runs are plain text; Matplotlib must not read a $ in them as math.
    axes.set_title(panel.title, loc="left", fontsize=11, color=_INK).set_parse_math(False)
    axes.set_ylabel(panel.unit, fontsize=9, color=_INK)
    axes.set_xlabel(below, fontsize=9, color=_INK)
    axes.tick_params(labelsize=9, color=_FAINT, labelcolor=_INK, labelbottom=bool(below))
    axes.locator_params(axis="y", nbins=5)
    axes.margins(x=0.02, y=0.08)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)


def smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Compute a centered running mean over ``reach`` values to either side of each.

    At the ends, the mean is over the values that exist.
    """
    sums = list(itertools.accumulate(values, initial=0.0))
    ranges = [(max(0, place - reach), min(len(values), place + reach + 1)) for place in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in ranges]


def grid_shape(panels: int) -> tuple[int, int]:
    """Choose rows and columns for a number of panels: up to three side by side, four from 16 panels on."""
    columns = 2 if panels in (2, 4) else min(panels, 3 if panels < 16 else 4)
    return math.ceil(panels / columns), columns
