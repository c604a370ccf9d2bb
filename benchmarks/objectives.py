"""SSL-HSIC and its rivals on equal terms: the same pictures, network, views, batch, epochs and optimiser.

python benchmarks/objectives.py DATA [--objectives NAME …] [--seeds N …] [--epochs N] [--output DIR]
python benchmarks/objectives.py DATA --tune NAME … [--epochs N] [--output DIR]

The first form pretrains each objective by each seed with the settings of `TUNED`, then measures k-NN and linear probe
of the last epoch's weights on DATA/val, beside raw pixels and the untrained network. The second runs every trial of
`TRIALS` and measures the online k-NN among DATA/train, so that what is chosen has never seen DATA/val. A run that is
there already is taken up where it stopped. Writes comparison.json or trials.json and prints a table.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.objectives import OBJECTIVES, ObjectiveName
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.results import Result, load_results, save_results

# The recipe with one epoch of warm-up, for short runs, and with what it had before these trials changed it.
RECIPE = "imagenette-r18"
BASE = ("optimizer.warmup_epochs=1", "target_decay=0.95", "loss.num_features=512")

# What the trials have shown to serve each objective, beyond the recipe.
TUNED: dict[ObjectiveName, tuple[str, ...]] = {
    **dict.fromkeys(OBJECTIVES, ()),
    "ssl-hsic": ("target_decay=0.9", "loss.num_features=2048"),
    "ssl-hsic-no-target": ("loss.num_features=2048",),
    "simclr": ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "optimizer.learning_rate=4e-3"),
}

# One change of the recipe each, then a second round around what helped; as many for the best rival as for SSL-HSIC.
_COMMON = (
    (),
    ("optimizer.learning_rate=1e-3",),
    ("optimizer.learning_rate=4e-3",),
    ("optimizer.warmup_epochs=2",),
    ("optimizer.weight_decay=0.1",),
    ("augmentation.crop_area=[0.08,1]",),
)
TRIALS: dict[ObjectiveName, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(OBJECTIVES, ((),)),
    "ssl-hsic": (
        *_COMMON,
        ("loss.gamma=1.5",),
        ("loss.gamma=0.75", "loss.regularizer=biased"),  # the paper's estimate, gamma scaled by sqrt(256 / 4096)
        ("target_decay=0.9",),
        ("target_decay=0.9", "loss.initial_scale=0.5"),
        ("target_decay=0.9", "loss.num_features=2048"),
        ("target_decay=0.9", "optimizer.warmup_epochs=2"),
        ("target_decay=0.9", "loss.num_features=2048", "loss.gamma=5"),
        ("target_decay=0.9", "loss.num_features=4096"),
        ("target_decay=0.9", "loss.num_features=2048", "optimizer.learning_rate=3e-3"),
        ("target_decay=0.8", "loss.num_features=2048"),
        ("objective=ssl-hsic-no-target", "loss.num_features=2048"),
        ("target_decay=0.9", "loss.num_features=2048", "loss.kernel=gaussian"),
        ("target_decay=0.9", "loss.num_features=2048", "loss.kernel=gaussian", "loss.initial_scale=0.5"),
        ("target_decay=0.9", "loss.num_features=2048", "loss.initial_scale=2"),
        ("target_decay=0.9", "loss.num_features=2048", "loss.gamma=2"),
        ("target_decay=0.9", "loss.num_features=2048", "head.embedding_dim=128"),
        ("target_decay=0.9", "loss.num_features=2048", "head.embedding_dim=512"),
    ),
    "simclr": (
        *_COMMON,
        ("rivals.temperature=0.2",),
        ("rivals.temperature=0.1",),
        ("head.embedding_dim=128",),
        ("rivals.temperature=0.07",),
        ("rivals.temperature=0.1", "optimizer.learning_rate=4e-3"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2"),
        ("rivals.temperature=0.1", "head.embedding_dim=128"),
        ("rivals.temperature=0.1", "optimizer.learning_rate=3e-3"),
        ("rivals.temperature=0.1", "optimizer.learning_rate=6e-3"),
        ("rivals.temperature=0.15", "optimizer.learning_rate=4e-3"),
        ("rivals.temperature=0.1", "optimizer.learning_rate=4e-3", "head.embedding_dim=512"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "optimizer.learning_rate=4e-3"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "optimizer.learning_rate=3e-3"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "optimizer.weight_decay=0.1"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "augmentation.crop_area=[0.08,1]"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "head.hidden_dim=4096"),
        ("rivals.temperature=0.1", "optimizer.warmup_epochs=2", "head.embedding_dim=512"),
    ),
}


def run(
    data: Path, output: Path, objective: ObjectiveName, epochs: int, seed: int, settings: Sequence[str]
) -> RunFolder:
    """Pretrain, or take up or reuse what is in ``output``."""
    base = (f"objective={objective}", f"epochs={epochs}", f"seed={seed}", *BASE)
    folder = RunFolder(output)
    if not folder.model.exists():
        pretrain(load_recipe(RECIPE, [*base, *settings]), data, output, resume=True)
    return folder


def tune(data: Path, output: Path, objectives: Sequence[ObjectiveName], epochs: int) -> list[dict[str, Any]]:
    """Online figures among the training pictures after each trial."""
    trials = []
    for objective in objectives:
        for settings in TRIALS[objective]:
            name = "-".join([objective, *(setting.replace("=", "-") for setting in settings)])
            folder = run(data / "train", output / "trials" / name, objective, epochs, 0, settings)
            last = [record for record in folder.read_metrics() if "knn" in record][-1]
            figures = {name: last[name] for name in ("knn", "linear", "rankme")}
            trials.append({"objective": objective, "settings": settings, "epochs": epochs} | figures)
    return trials


def measure(
    data: Path, output: Path, objectives: Sequence[ObjectiveName], epochs: int, seeds: Sequence[int]
) -> list[Result]:
    """k-NN and linear probe on DATA/val of each objective and seed, floors first."""
    everything: list[Result] = []
    for seed in seeds:
        for objective in objectives:
            folder = run(data, output / f"{objective}-{seed}", objective, epochs, seed, TUNED[objective])
            path = folder.root / "results.json"
            if not path.exists():
                floors = objective == objectives[0]
                options = {
                    "train": data / "train",
                    "test": data / "val",
                    "floors": floors,
                    "seeds": [seed],
                    "workers": 2,
                }
                save_results(path, evaluate(folder.model, ["knn", "linear"], **options))
            everything += load_results(path)
    return everything


def table(results: Sequence[Result], names: dict[str, str]) -> str:
    """Markdown: a row a subject, mean ± standard deviation over seeds."""
    rows = ["| | 20-NN | linear probe |", "|---|---|---|"]
    values: dict[str, dict[str, list[float]]] = {}
    for result in results:
        values.setdefault(names.get(result.model, result.model), {}).setdefault(result.task, []).append(result.value)
    for name, tasks in values.items():
        rows.append(f"| {name} | " + " | ".join(_spread(tasks[task]) for task in ("knn", "linear")) + " |")
    return "\n".join(rows)


def trial_table(trials: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a trial, in the order in which they are listed above."""
    rows = ["| objective | changed from the recipe | 20-NN | linear probe | RankMe |", "|---|---|---|---|---|"]
    for trial in trials:
        changed = ", ".join(f"`{setting}`" for setting in trial["settings"]) or "–"
        figures = f"{100 * trial['knn']:.1f} | {100 * trial['linear']:.1f} | {trial['rankme']:.0f}"
        rows.append(f"| {trial['objective']} | {changed} | {figures} |")
    return "\n".join(rows)


def _spread(values: Sequence[float]) -> str:
    text = f"{100 * statistics.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {100 * statistics.stdev(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=list(OBJECTIVES))
    parser.add_argument("--tune", nargs="+", default=[], choices=list(OBJECTIVES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("runs/objectives"))
    options = parser.parse_args()
    if options.tune:
        trials = tune(options.data, options.output, options.tune, options.epochs)
        (options.output / "trials.json").write_text(json.dumps(trials, indent=1))
        print(trial_table(trials))
        return
    results = measure(options.data, options.output, options.objectives, options.epochs, options.seeds)
    names = {
        str(options.output / f"{objective}-{seed}" / "model"): objective
        for objective in options.objectives
        for seed in options.seeds
    }
    save_results(options.output / "comparison.json", results)
    print(table(results, names))


if __name__ == "__main__":
    main()
