"""Write the tables of the documentation that come from results.json or docs/measured/, between their marks.

python tools/tables.py [--check]

A table stands between ``<!-- table NAME -->`` and ``<!-- end of table -->`` in README.md and docs/*.md; NAME is one of
`TABLES`. With --check nothing is written, and the exit status tells whether something would have been.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sslhsic_transfer.hub.zoo import ZOO
from sslhsic_transfer.results import LOWER_IS_BETTER, RESULTS_NAME, Result, load_results

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # this is run as a file

from tools import cpu_tables, loss_tables  # noqa: E402
from tools.gpu_tables import benchmark_table, check_table  # noqa: E402

_TASKS = {"knn": "20-NN", "linear": "linear probe"}
_BLOCK = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)

# Of a row: data and split, task, metric. Of a cell: that, and the column.
_Row = tuple[str, str, str]


def _global() -> str:
    """k-NN and linear probes of every shipped model, beside the floors."""
    return _table([result for result in _shipped() if result.task in _TASKS])


def _dense() -> str:
    """Segmentation, detection and depth from every shipped model and from random weights."""
    return _table([result for result in _shipped() if result.task in ("segmentation", "detection", "depth")])


def _labels() -> str:
    """Classification with few labels, from every shipped model and from random weights."""
    few = [result for result in _shipped() if result.task.startswith("classification, ")]
    return _table([result for result in few if result.metric == "top-1"])


def _models() -> str:
    """Short names with their networks, and k-NN and linear probe on a data set that was seen and one that was not."""
    figures: dict[str, dict[_Row, Result]] = {}
    for result in _shipped():
        figures.setdefault(result.model, {})[result.dataset, result.task, result.metric] = result
    columns = [(data, task, "top-1") for data in ("imagenette128", "cifar10_12k") for task in _TASKS]
    heads = [f"{data}, {_TASKS[task]}" for data, task, _ in columns]
    lines = ["| name | network | embedding | " + " | ".join(heads) + " |", "|---|---|---|" + "---|" * len(heads)]
    for name in sorted(figures, key=lambda name: (name not in ZOO, name)):
        network, size = "–", "–"
        if name in ZOO:
            encoder = ZOO[name].encoder
            network, size = encoder.architecture.replace("resnet", "ResNet-"), str(encoder.feature_dim)
        cells = [figures[name][column].figure() if column in figures[name] else "" for column in columns]
        if any(cells):
            lines.append(f"| {f'`{name}`' if name in ZOO else name} | {network} | {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "global": _global,
    "dense": _dense,
    "labels": _labels,
    "models": _models,
    **cpu_tables.TABLES,
    **loss_tables.TABLES,
    "gpu-check": check_table,
    **{f"gpu-{part}": partial(benchmark_table, part) for part in ("pretrain", "embed", "loss", "probes")},
}


def _shipped() -> list[Result]:
    """Read the records of all shipped models, each named by its short name where it was measured with its weights."""
    found = []
    for name, model in ZOO.items():
        path = ROOT / "model_cards" / name / RESULTS_NAME
        for result in load_results(path) if path.is_file() else ():
            own = result.weights_sha256 == model.sha256
            found.append(result.model_copy(update={"model": name}) if own else result)
    return found


def _table(results: Sequence[Result]) -> str:
    rows: dict[_Row, dict[str, Result]] = {}
    for result in results:
        key = (result.tested, _TASKS.get(result.task, result.task), result.metric)
        rows.setdefault(key, {})[result.model] = result
    columns = sorted({name for cells in rows.values() for name in cells}, key=lambda name: (name in ZOO, name))
    shown = {name: f"**{name}**" if name in ZOO else name for name in columns}
    lines = ["| data | task | " + " | ".join(shown.values()) + " |", "|---|---|" + "---|" * len(columns)]
    for (data, task, metric), cells in rows.items():
        pick = min if metric in LOWER_IS_BETTER else max
        best = pick(result.value for result in cells.values())
        figures = [_figure(cells.get(name), best) for name in columns]
        lines.append(f"| {data} | {task}{'' if metric == 'top-1' else ', ' + metric} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def _figure(result: Result | None, best: float) -> str:
    if result is None:
        return "–"
    return f"**{result.figure()}**" if result.value == best else result.figure()


def filled(text: str) -> str:
    """Return a document with its tables as they should be.

    Raises:
        KeyError: a mark names no table.
    """
    return _BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[4], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(new, encoding="utf-8")
    if stale:
        print(("Out of date: " if check else "Written: ") + ", ".join(stale))
    raise SystemExit(bool(stale) and check)


if __name__ == "__main__":
    main()
