"""Images a second of pretraining: the input alone, the bare network step, the whole engine, and lightly's BYOL.

python benchmarks/pretrain.py DATA [--recipe NAME] [--set key=value …] [--steps N] [--rounds N] [--output DIR]

The four take turns, `--rounds` times; ratios are within a round, and their median counts. Each is described in
gpu_parts/steps.py. Writes pretrain.json.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

# This folder holds an onnx.py, which would stand for the package of that name; an installed package goes before ours.
sys.path.pop(0)
sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import reports
from benchmarks.gpu_parts.clock import speed
from benchmarks.gpu_parts.steps import bare_step, device, input_alone, lightly_byol, whole_engine
from sslhsic_transfer._files import write_json
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.results import stamp

_WARM_UP = 3


def engine_speed(recipe: Recipe, data: Path, count: int) -> float:
    """Return the median over the run's log after its first steps."""
    every = max(1, count // 4)
    records = whole_engine(recipe, data, every=every, count=count + every)
    return statistics.median(record["images_per_second"] for record in records[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="imagenette-r18")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, key=value")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightly")
    recipe, count = load_recipe(options.recipe, [*options.set, "augmentation.progressive=[]"]), options.steps

    def timed(steps: Iterator[object], steps_timed: int) -> float:
        return speed(steps, recipe.batch_size, steps_timed, warm_up=_WARM_UP)

    contenders = {
        # The input's steps go beyond what is read ahead.
        "input alone": lambda: timed(input_alone(recipe, options.data, _WARM_UP + 5 * count), 5 * count),
        "bare network step": lambda: timed(bare_step(recipe), count),
        "whole engine": lambda: engine_speed(recipe, options.data, count),
        "lightly's BYOL": lambda: timed(lightly_byol(recipe, options.data, _WARM_UP + count), count),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, measure in contenders.items():
            speeds[name].append(measure())
            print(f"{name}: {speeds[name][-1]:.1f} images/s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratios = {
        f"whole engine / {peer}": [
            ours / theirs for ours, theirs in zip(speeds["whole engine"], speeds[peer], strict=True)
        ]
        for peer in ("bare network step", "lightly's BYOL")
    }
    record = {
        "measured": stamp() | {"torch": torch.__version__, "device": str(device())},
        "speeds": speeds,
        "images/s": medians,
        "ratios": {
            name: {"least": min(values), "median": statistics.median(values), "largest": max(values), "rounds": values}
            for name, values in ratios.items()
        },
    }
    write_json(options.output / "pretrain.json", record)
    print(reports.pretraining(record) + reports.within_a_round(record))


if __name__ == "__main__":
    main()
