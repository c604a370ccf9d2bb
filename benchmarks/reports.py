"""Tables of the benchmarks on a CPU from the records that these write, in plain Python.

A record has under "measured" its date, commit and hardware; "carried over" there says that the figures were taken from
a page, and of which commit that was.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
_FIGURES = ("knn", "linear")


def shared_cpu(record: Record) -> str:
    """Write a line for each way to start threads: median (slowest) seconds, ratio to a quiet machine, threads."""
    cells = {(cell["contender"], cell["busy"]): cell for cell in record["cells"]}
    names = list(dict.fromkeys(name for name, _ in cells))
    loads = list(dict.fromkeys(busy for _, busy in cells))
    lines = _head("", *(f"{busy} busy programs" if busy else "quiet" for busy in loads))
    for name in names:
        shown = f"`{name}`" if "=" in name else name
        lines.append(
            _row(f"**{shown}**" if name == names[-1] else shown, *(_step(cells[name, busy]) for busy in loads))
        )
    return _text(lines)


def _step(cell: Record) -> str:
    if cell["median"] is None:
        return f"beyond the limit, {cell['threads']}"
    seconds = [f"{cell[key]:.{1 if cell[key] > 10 else 2}f}" for key in ("median", "slowest")]
    ratio = cell["times quiet"]
    return f"{seconds[0]} ({seconds[1]}), {ratio:.{0 if ratio > 10 else 1}f} ×, {cell['threads']}"


def pretraining(record: Record) -> str:
    """Write a line for each contender: images per second."""
    return _text([*_head("", "images/s"), *(_row(name, f"{speed:,.0f}") for name, speed in record["images/s"].items())])


def within_a_round(record: Record) -> str:
    """Write a sentence on the ratios of pretraining's contenders, which are within a round."""
    step, peer = (record["ratios"][f"whole engine / {name}"] for name in ("bare network step", "lightly's BYOL"))
    return (
        f"Within a round the engine ran at {step['least']:.2f} to {step['largest']:.2f} of the bare step, "
        f"with a median of {step['median']:.2f}, and at {peer['least']:.2f} to {peer['largest']:.2f} times lightly's "
        f"speed, with a median of {peer['median']:.2f}."
    )


def onnx(record: Record) -> str:
    """Write a line for each subject: speed, latency, size, memory, and what its embeddings keep."""
    batches = record["batches"]
    heads = [f"images/s, batch {batch} | p50 / p99 ms" for batch in batches]
    head = _row("", *heads, "file, MB", "memory, MB", "20-NN, %", "same class, %", "cosine")
    lines = [head, "|---" * (2 * len(batches) + 6) + "|"]
    for subject, values in record["subjects"].items():
        cells = []
        for batch in batches:
            median, worst = (values[f"{name} ms, batch {batch}"] for name in ("p50", "p99"))
            cells += [f"{values[f'images/s, batch {batch}']:.1f}", f"{median:.0f} / {worst:.0f}"]
        cells += [f"{values['file'] / 1e6:.1f}" if "file" in values else "–", f"{values['memory'] / 1e6:.0f}"]
        cells += [f"{100 * values[name]:.2f}" if name in values else "–" for name in ("accuracy", "agreement")]
        cells += [f"{values['cosine']:.5f}" if "cosine" in values else "–"]
        lines.append(_row(subject, *cells))
    return _text(lines)


def loading(record: Record) -> str:
    """Write a line for each way to load a model: the median's ratio to timm's."""
    seconds = record["seconds"]
    rows = (_row(name, f"{value / seconds['timm']:.2f}") for name, value in seconds.items() if name != "timm")
    return _text([*_head(record["architecture"], "time / timm's"), *rows])


def picture_memory(record: Record) -> str:
    """Write a line for each kind of file: bytes per pixel at the peak of reading, and what the largest take."""
    rows = []
    for name, kinds in record["groups"].items():
        found = [record["bytes a pixel"][kind] for kind in kinds]
        least, largest = f"{min(found):.0f}", f"{max(found):.0f}"
        rows.append(
            _row(name, least if least == largest else f"{least} to {largest}", f"{max(found) * 128e6 / 1e9:.1f}")
        )
    return _text([*_head("pictures", "bytes per pixel", "GB for 128 million"), *rows])


def accuracies(record: Record) -> str:
    """Write a line for each encoder: top-1 in % by 20-NN and by a linear probe, the best of each column bold."""
    rows, best = record["rows"], [max(row[key] for row in record["rows"]) for key in _FIGURES]
    lines = _head(record["head"], "weighted 20-NN", "linear probe")
    for row in rows:
        cells = [f"{row[key]:.1f}" for key in _FIGURES]
        bold = [
            f"**{cell}**" if row[key] == top else cell for cell, key, top in zip(cells, _FIGURES, best, strict=True)
        ]
        lines.append(_row(f"**{row['name']}**" if row.get("ours") else row["name"], *bold))
    return _text(lines)


def trials(record: Record) -> str:
    """Write a line for each trial of tuning."""
    lines = _head("objective", "changed from the recipe", "20-NN", "linear probe", "RankMe")
    for row in record["trials"]:
        changed = ", ".join(f"`{setting}`" for setting in row["changed"]) or "–"
        lines.append(
            _row(row["objective"], changed, f"{row['knn']:.1f}", f"{row['linear']:.1f}", f"{row['rankme']:.0f}")
        )
    return _text(lines)


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def _row(*cells: str) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
