"""Measure the gain by pretraining: the same network fine-tuned from an encoder's weights and from random ones.

python benchmarks/transfer.py MODEL DATA [--rows NAME …] [--seeds N …] [--output DIR] [--curves FILE]

MODEL is an encoder; DATA holds imagenette128, camvid, bccd, raccoon_det and redkitchen_depth. Each row of `ROWS` is
fine-tuned from both by each seed, with the same settings, and measured on the test split. A run that is there already
is taken up where it stopped. Adds to DIR/results.json and prints a table of means and deviations. --curves draws the
training losses of the rows that log them: a thin line for each seed, a thick one for their mean.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from sslhsic_transfer.pretrain.monitors.panels import finish_panel, grid_shape
from sslhsic_transfer.pretrain.monitors.plot import as_curves, read_records
from sslhsic_transfer.results import RESULTS_NAME, Result, load_results, over_seeds, save_results
from sslhsic_transfer.transfer import transfer


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        task: what is learned.
        framework: whose network.
        data: folder of DATA.
        settings: what differs from the defaults; made for minutes on two CPU cores.
    """

    task: str
    framework: str
    data: str
    settings: tuple[str, ...]


_COMMON = ("precision=bf16", "workers=1", "warmup=20", "checkpoint_every=100")
_FEW = (*_COMMON, "test=val")
_SHORT = (*_COMMON, "test=test")
_CAMVID = (*_SHORT, "batch_size=8", "iterations=200", "resize=180", "crop=[160,224]", "scale=[0.75,1.5]")
_DEPTH = (*_SHORT, "batch_size=8", "iterations=200", "resize=120", "crop=[112,144]")
_BOXES = (*_SHORT, "batch_size=4", "iterations=80", "sides=[192]", "proposals=200", "sampled_regions=64")
ROWS: dict[str, Row] = {
    "imagenette-1": Row(
        "classification", "torchvision", "imagenette128", (*_FEW, "label_share=0.01", "batch_size=32", "iterations=150")
    ),
    "imagenette-10": Row(
        "classification", "torchvision", "imagenette128", (*_FEW, "label_share=0.1", "batch_size=64", "iterations=300")
    ),
    "camvid-torchvision": Row("segmentation", "torchvision", "camvid", _CAMVID),
    "camvid-mmseg": Row("segmentation", "mmseg", "camvid", _CAMVID),
    "bccd-torchvision": Row("detection", "torchvision", "bccd", _BOXES),
    "bccd-detectron2": Row("detection", "detectron2", "bccd", _BOXES),
    "raccoon-torchvision": Row("detection", "torchvision", "raccoon_det", _BOXES),
    "raccoon-detectron2": Row("detection", "detectron2", "raccoon_det", _BOXES),
    "redkitchen": Row("depth", "depth", "redkitchen_depth", _DEPTH),
}
INITS = ("pretrained", "random")
COLORS = ("#1f77b4", "#7f7f7f")


def run(row: str, init: str, seed: int, model: str, data: Path, output: Path) -> list[Result]:
    """Run one fine-tune, or read what it measured when it was run before."""
    chosen, folder = ROWS[row], output / row / f"{init}-{seed}"
    if not (folder / RESULTS_NAME).exists():
        overrides = (*chosen.settings, f"seed={seed}")
        options = {"framework": chosen.framework, "init": init, "overrides": overrides, "resume": True}
        transfer(chosen.task, model, data / chosen.data, folder, **options)
    return load_results(folder / RESULTS_NAME)


def table(rows: dict[str, dict[str, list[Result]]]) -> str:
    """Format a Markdown table: a line for each row and metric, a column for each origin of the weights."""
    lines = ["| data, framework | metric | " + " | ".join(INITS) + " |", "|---|---|" + "---|" * len(INITS)]
    for name, origins in rows.items():
        for same in zip(*origins.values(), strict=True):
            lines.append(f"| {name} | {same[0].metric} | " + " | ".join(result.figure() for result in same) + " |")
    return "\n".join(lines)


def draw_curves(output: Path, rows: list[str], seeds: list[int], picture: Path) -> None:
    """Draw training losses over steps: a panel for each row, a color for each origin of the weights."""
    logged = [row for row in rows if (output / row / f"{INITS[0]}-{seeds[0]}" / "metrics.jsonl").exists()]
    height, width = grid_shape(len(logged))
    figure = Figure(figsize=(4.0 * width, 2.6 * height), layout="constrained")
    panels = figure.subplots(height, width, squeeze=False).flatten()
    for unused in panels[len(logged) :]:
        unused.set_axis_off()
    for row, axes in zip(logged, panels, strict=False):
        for init, color in zip(INITS, COLORS, strict=True):
            curves = [as_curves(read_records(output / row / f"{init}-{seed}"), "step")["loss"] for seed in seeds]
            for steps, losses in curves:
                axes.plot(steps, losses, color=color, linewidth=0.7, alpha=0.4)
            steps, means = curves[0][0], [fmean(losses) for losses in zip(*(curve[1] for curve in curves), strict=True)]
            axes.plot(steps, means, color=color, linewidth=2, label=init)
        finish_panel(axes, "loss", "step")
        axes.set_title(row, loc="left")
        axes.legend(frameon=False)
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--curves", type=Path)
    options = parser.parse_args()
    rows = {
        row: {
            init: [
                over_seeds(same)
                for same in zip(
                    *(run(row, init, seed, options.model, options.data, options.output) for seed in options.seeds),
                    strict=True,
                )
            ]
            for init in INITS
        }
        for row in options.rows
    }
    for origins in rows.values():
        for results in origins.values():
            save_results(options.output / RESULTS_NAME, results)
    print(table(rows))
    if options.curves:
        draw_curves(options.output, options.rows, options.seeds, options.curves)


if __name__ == "__main__":
    main()
