"""SSL-HSIC and its rivals on equal terms: the same pictures, network, views, batch, epochs and optimizer.

python benchmarks/objectives.py DATA --tune [NAME …] [--batch-sizes N …] [--epochs N] [--output DIR]
python benchmarks/objectives.py DATA [--contenders NAME …] [--batch-sizes N …] [--seeds N …] [--epochs N] [--output DIR]

benchmarks/comparison.yaml holds the contenders and the trials. The first form runs the trials and measures the online
probes among DATA/train, so that what is chosen has never seen DATA/val. The second pretrains each contender by each
seed with what the trials chose, then measures k-NN and linear probe of the last epoch's weights on DATA/val. A run that
is there already is taken up where it stopped, and several of these programs can share the names, sizes or seeds. All
results in the output folder go to comparison.json.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.results import load_results, save_results
from sslhsic_transfer.training.run_folder import RunFolder

PLAN = Path(__file__).with_name("comparison.yaml")
RESULT = "comparison.json"


@dataclass(frozen=True)
class Contender:
    """A row of the comparison.

    Attributes:
        objective: the recipe's objective.
        settings: what makes it this row.
        tuned: batch size -> what its trials chose.
    """

    objective: str
    settings: list[str] = field(default_factory=list)
    tuned: dict[int, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The contents of comparison.yaml."""

    recipe: str
    base: list[str]
    contenders: dict[str, Contender]
    trials: dict[str, dict[int, list[list[str]]]]

    @classmethod
    def read(cls, path: Path = PLAN) -> "Plan":
        """Read the file."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        contenders = {name: Contender(**settings) for name, settings in content.pop("contenders").items()}
        return cls(contenders=contenders, **content)


@dataclass(frozen=True)
class Comparison:
    """Runs of one plan on one data set, in one folder."""

    plan: Plan
    data: Path
    output: Path
    epochs: int

    def tune(self, names: Sequence[str], sizes: Sequence[int]) -> None:
        """Run the trials of these contenders."""
        for size in sizes:
            for name in names:
                for changed in self.plan.trials.get(name, {}).get(size, []):
                    contender = self.plan.contenders[name]
                    folder = self._train(
                        contender, size, 0, changed, self._trial(name, size, changed), self.data / "train"
                    )
                    last = _last_evaluation(folder)
                    figures = {figure: last[figure] for figure in ("knn", "linear", "rankme")}
                    facts = {"trial": name, "batch_size": size, "changed": changed, "epochs": self.epochs}
                    _write(folder.root / "row.json", facts | figures | _speed(folder))

    def measure(self, names: Sequence[str], sizes: Sequence[int], seeds: Sequence[int]) -> None:
        """Pretrain contenders and measure them on DATA/val."""
        for seed in seeds:
            for size in sizes:
                for name in names:
                    contender = self.plan.contenders[name]
                    root = self.output / f"batch-{size}" / f"{_slug(name)}-{seed}"
                    tuned = contender.tuned.get(size, [])
                    folder = self._train(contender, size, seed, tuned, root, self.data)
                    figures = self._probes(folder, seed)
                    facts = {
                        "contender": name,
                        "batch_size": size,
                        "seed": seed,
                        "changed": tuned,
                        "epochs": self.epochs,
                    }
                    figures["rankme"] = _last_evaluation(folder)["rankme"]
                    _write(folder.root / "row.json", facts | figures | _speed(folder))

    def rows(self) -> list[dict[str, Any]]:
        """Return the trials and measured runs in the output folder, by name."""
        return [json.loads(path.read_text()) for path in sorted(self.output.glob("batch-*/**/row.json"))]

    def _trial(self, name: str, size: int, changed: Sequence[str]) -> Path:
        return self.output / f"batch-{size}" / "trials" / "-".join([_slug(name), *(_slug(each) for each in changed)])

    def _train(
        self, contender: Contender, size: int, seed: int, changed: Sequence[str], root: Path, data: Path
    ) -> RunFolder:
        folder = RunFolder(root)
        if not folder.model.exists():
            run = [f"objective={contender.objective}", f"epochs={self.epochs}", f"batch_size={size}", f"seed={seed}"]
            recipe = load_recipe(self.plan.recipe, [*run, *self.plan.base, *contender.settings, *changed])
            pretrain(recipe, data, root, resume=True, progress=False)
        return folder

    def _probes(self, folder: RunFolder, seed: int) -> dict[str, Any]:
        path = folder.root / "results.json"
        if not path.exists():
            train, test = self.data / "train", self.data / "val"
            save_results(path, evaluate(folder.model, ["knn", "linear"], train=train, test=test, seeds=[seed]))
        return {result.task: result.value for result in load_results(path)}


def _last_evaluation(folder: RunFolder) -> dict[str, Any]:
    return [record for record in folder.read_metrics() if "knn" in record][-1]


def _speed(folder: RunFolder) -> dict[str, float]:
    speeds = [record["images_per_second"] for record in folder.read_metrics() if "images_per_second" in record]
    return {"images_per_second": statistics.median(speeds)}


def _slug(text: str) -> str:
    return text.replace(", ", "-").replace(" ", "-").replace("=", "-").replace("/", "-")


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def comparison_table(rows: Sequence[dict[str, Any]], batch_size: int) -> str:
    """Format a Markdown table: a row for each contender, mean ± standard deviation over seeds."""
    lines = ["| | seeds | weighted 20-NN | linear probe | RankMe | images/s |", "|---|---|---|---|---|---|"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("contender") and row["batch_size"] == batch_size:
            groups.setdefault(row["contender"], []).append(row)
    for name in [name for name in Plan.read().contenders if name in groups]:
        runs = groups[name]
        figures = [_spread([100 * run[task] for run in runs]) for task in ("knn", "linear")]
        rank, speed = (statistics.mean(run[key] for run in runs) for key in ("rankme", "images_per_second"))
        lines.append(f"| {name} | {len(runs)} | {' | '.join(figures)} | {rank:.0f} | {speed:.0f} |")
    return "\n".join(lines) + "\n"


def trial_table(rows: Sequence[dict[str, Any]], batch_size: int) -> str:
    """Format a Markdown table: a row for each trial, in the order of comparison.yaml."""
    lines = ["| contender | changed | 20-NN | linear probe | RankMe |", "|---|---|---|---|---|"]
    tried = [row for row in rows if "trial" in row and row["batch_size"] == batch_size]
    found = {(row["trial"], tuple(row["changed"])): row for row in tried}
    for name, sizes in Plan.read().trials.items():
        for changed in sizes.get(batch_size, []):
            if row := found.get((name, tuple(changed))):
                told = ", ".join(f"`{setting}`" for setting in changed) or "–"
                figures = f"{100 * row['knn']:.1f} | {100 * row['linear']:.1f} | {row['rankme']:.0f}"
                lines.append(f"| {name} | {told} | {figures} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    text = f"{statistics.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.1f}"


def main() -> None:
    plan = Plan.read()
    names = list(plan.contenders)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--contenders", nargs="+", default=names, choices=names)
    parser.add_argument("--tune", nargs="*", default=None, choices=names, help="run trials; of all, if none is named")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("runs/objectives"))
    options = parser.parse_args()
    comparison = Comparison(plan, options.data, options.output, options.epochs)
    if options.tune is not None:
        comparison.tune(options.tune or list(plan.trials), options.batch_sizes)
    else:
        comparison.measure(options.contenders, options.batch_sizes, options.seeds)
    rows = comparison.rows()
    _write(options.output / RESULT, rows)
    table = comparison_table if options.tune is None else trial_table
    for size in options.batch_sizes:
        print(f"\nBatches of {size}\n\n{table(rows, size)}")


if __name__ == "__main__":
    main()
