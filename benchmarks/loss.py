"""Time, memory and noise of the SSL-HSIC loss, forward and backward, exact and by random features, beside rivals'.

python benchmarks/loss.py [--quick | --sizes B … --dims D …] [--longest SECONDS] [--output DIR]

For each loss and batch size, two views: the seconds, the peak of allocated memory and the relative noise of the
gradient; the exponent in B over the largest four sizes; and whether the automatic choice is as fast as it should be. A
loss is not tried beyond the size that takes too long. Writes loss.json and loss.png. Rivals are lightly's.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sslhsic_transfer.hsic import SSLHSICLoss

SIZES = tuple(2**power for power in range(5, 17))
DIMS = (256, 2048)
OURS = "SSL-HSIC, auto"
FORMS = (OURS, "SSL-HSIC, exact", "SSL-HSIC, features")
RIVAL = "NT-Xent"
# Above this batch, features lead clearly, and the exponent is theirs.
_CROSSED = 4096

Loss = Callable[[list[torch.Tensor]], torch.Tensor]


def losses() -> dict[str, Loss]:
    """Return name -> function of two views, (B, d) each."""
    from lightly.loss import BarlowTwinsLoss, NTXentLoss, VICRegLoss

    # Each criterion is built once, so that building it is not timed.
    criteria = [SSLHSICLoss(estimator=estimator) for estimator in ("auto", "exact", "features")]
    ours = {
        name: lambda views, criterion=criterion: criterion(views)[0]
        for name, criterion in zip(FORMS, criteria, strict=True)
    }
    rivals = {RIVAL: NTXentLoss(), "VICReg": VICRegLoss(), "Barlow Twins": BarlowTwinsLoss()}
    return ours | {name: lambda views, criterion=criterion: criterion(*views) for name, criterion in rivals.items()}


def measure(function: Loss, size: int, dim: int, budget: float = 4.0) -> dict[str, float]:
    """Measure median seconds of a forward and backward pass, and peak memory in MiB beyond the views."""
    views = views_of(size, dim)

    def once() -> None:
        function(views).backward()
        for view in views:
            view.grad = None

    once()
    seconds, end = [], time.perf_counter() + budget
    while len(seconds) < 3 or (len(seconds) < 50 and time.perf_counter() < end):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "mib": peak_memory(once) / 2**20}


def views_of(size: int, dim: int) -> list[torch.Tensor]:
    """Draw two views of each image, nearer to each other than to others."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(size, dim, generator=generator)
    return [(centers + torch.randn(size, dim, generator=generator)).requires_grad_() for _ in range(2)]


def noise(size: int, dim: int) -> float:
    """Measure the deviation of the gradient over draws of features, relative to its norm."""
    values = [SSLHSICLoss(estimator="features", seed=seed).gradient_noise(views_of(size, dim)) for seed in range(3)]
    return statistics.median(value.item() for value in values)


def peak_memory(function: Callable[[], object]) -> int:
    """Return the largest sum, in bytes, of what a call allocated and had not yet freed."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    total = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak


def exponent(rows: list[dict]) -> float:
    """Fit the slope of log time over log B for the largest four sizes."""
    chosen = sorted(rows, key=lambda row: row["size"])[-4:]
    slope, _ = np.polyfit(np.log([row["size"] for row in chosen]), np.log([row["seconds"] for row in chosen]), 1)
    return float(slope)


def report(rows: list[dict], dim: int) -> str:
    """Format a Markdown table of one embedding width."""
    sizes = sorted({row["size"] for row in rows})
    table = {(row["name"], row["size"]): row for row in rows if row["dim"] == dim}
    lines = [f"| d = {dim} | " + " | ".join(f"B = {size:,}" for size in sizes) + " | exponent |"]
    lines.append("|---|" + "---|" * (len(sizes) + 1))
    for name in dict.fromkeys(name for name, _ in table):
        cells = [_cell(table.get((name, size))) for size in sizes]
        own = [row for row in rows if row["name"] == name and row["dim"] == dim]
        slope = f"{exponent(own):.2f}" if len(own) > 1 else "–"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {slope} |")
    return "\n".join([*lines, "", *judgements(rows, dim), ""])


def _cell(row: dict | None) -> str:
    if row is None:
        return "–"
    figure = 1e3 * row["seconds"]
    return f"{figure:.1f}" if figure < 10 else f"{figure:.0f}"


def judgements(rows: list[dict], dim: int) -> list[str]:
    """Compare the automatic choice with what it should be, as Markdown."""
    seconds = {(row["name"], row["size"]): row["seconds"] for row in rows if row["dim"] == dim}
    auto = {size: seconds[name, size] for name, size in seconds if name == OURS}
    both = [size for size in auto if all((name, size) in seconds for name in FORMS[1:])]
    regret = {size: _chosen(seconds, size, dim) / min(seconds[name, size] for name in FORMS[1:]) for size in both}
    worst = max(both, key=lambda size: regret[size])
    lines = [f"- the form that auto chooses / the better of the two: at most {regret[worst]:.2f} (B = {worst:,})"]
    ratios = {size: auto[size] / seconds[RIVAL, size] for size in auto if (RIVAL, size) in seconds}
    small = {size: ratio for size, ratio in ratios.items() if size <= 512}
    if small:
        most = max(small, key=lambda size: small[size])
        lines.append(f"- auto / {RIVAL} up to B = 512: at most {small[most]:.2f} (B = {most:,})")
    if 4096 in ratios:
        lines.append(f"- {RIVAL} / auto at B = 4,096: {1 / ratios[4096]:.1f}")
    beyond = [row for row in rows if row["name"] == OURS and row["dim"] == dim and row["size"] >= _CROSSED]
    if len(beyond) > 1:
        lines.append(f"- exponent of auto from B = {_CROSSED:,}: {exponent(beyond):.2f}")
    return lines


def _chosen(seconds: dict[tuple[str, int], float], size: int, dim: int) -> float:
    """Return the seconds of the form that auto takes."""
    exact = SSLHSICLoss().is_exact([torch.empty(size, dim, requires_grad=True)] * 2)
    return seconds[FORMS[1 if exact else 2], size]


def noises(rows: list[dict]) -> str:
    """Format as Markdown the relative noise of the gradient of our features."""
    own = [row for row in rows if row["name"] == FORMS[2]]
    sizes = sorted({row["size"] for row in own})
    lines = ["| noise of the gradient | " + " | ".join(f"B = {size:,}" for size in sizes) + " |"]
    lines.append("|---|" + "---|" * len(sizes))
    for dim in sorted({row["dim"] for row in own}):
        found = {row["size"]: row["noise"] for row in own if row["dim"] == dim and "noise" in row}
        lines.append(
            f"| features, d = {dim} | " + " | ".join(f"{found[s]:.2f}" if s in found else "–" for s in sizes) + " |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[dict], output: Path) -> None:
    """Draw time over batch size, a panel for each embedding width."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    dims = sorted({row["dim"] for row in rows})
    figure, axes = plt.subplots(1, len(dims), figsize=(6 * len(dims), 4.5), layout="constrained", squeeze=False)
    for panel, dim in zip(axes[0], dims, strict=True):
        for name in dict.fromkeys(row["name"] for row in rows):
            own = [row for row in rows if row["name"] == name and row["dim"] == dim]
            panel.loglog([row["size"] for row in own], [row["seconds"] for row in own], marker=".", label=name)
        panel.set(title=f"forward and backward, d = {dim}", xlabel="batch size", ylabel="seconds")
        panel.grid(alpha=0.3)
    axes[0][0].legend()
    figure.savefig(output, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small sizes, d = 256")
    parser.add_argument("--sizes", nargs="+", type=int, default=None, help="only these")
    parser.add_argument("--dims", nargs="+", type=int, default=None, help="only these")
    parser.add_argument("--longest", type=float, default=8.0, help="seconds of a pass, after which no larger is tried")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    sizes, dims = ((256, 512, 1024), (256,)) if options.quick else (options.sizes or SIZES, options.dims or DIMS)
    rows: list[dict] = []
    for dim in dims:
        contenders = losses()
        for size in sizes:  # all losses of a size together, so that changes of a machine's speed affect them alike
            for name in list(contenders):
                row = {"name": name, "size": size, "dim": dim} | measure(contenders[name], size, dim)
                if name == FORMS[2]:
                    row["noise"] = noise(size, dim)
                if row["seconds"] > options.longest:
                    del contenders[name]
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}
    (options.output / "loss.json").write_text(json.dumps(facts, indent=1))
    draw(rows, options.output / "loss.png")
    for dim in dims:
        print(report(rows, dim))
    print(noises(rows))


if __name__ == "__main__":
    main()
