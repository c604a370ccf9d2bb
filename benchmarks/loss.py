"""Time and memory of the SSL-HSIC loss, forward and backward, beside its exact quadratic form and rivals' losses.

python benchmarks/loss.py [--quick] [--output DIR]: for each loss and batch size, seconds and the peak of allocated
memory, the exponent in B fitted over the largest four sizes, and ratios to ours with two views. Writes loss.json and
loss.png. Rivals are lightly's.
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

from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, hsic
from sslhsic_transfer.hsic.loss import unit_vectors

SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)
DIMS = (256, 2048)
OURS = "ssl-hsic, 2 views"

Loss = Callable[[list[torch.Tensor]], torch.Tensor]


def exact(views):
    """The paper's objective from full kernel matrices, Gretton's estimate for HSIC(Z, Z)."""
    z = unit_vectors(torch.stack(views, dim=1))
    images, count, _ = z.shape
    kernel = KERNELS["imq"].matrix(z.flatten(0, 1))
    rows = len(kernel)
    blocks = kernel.view(images, count, images, count).diagonal(dim1=0, dim2=2).sum()
    zy = blocks / (rows * (count - 1)) - kernel.mean() - 1 / (count - 1)
    return -zy + 3 * hsic(kernel, kernel, "biased").sqrt()


def losses():
    """Name -> (number of views, function of the views, largest batch that is tried)."""
    from lightly.loss import BarlowTwinsLoss, NTXentLoss, VICRegLoss

    ntxent, vicreg, barlow = NTXentLoss(), VICRegLoss(), BarlowTwinsLoss()
    # Each criterion once: building one a call would be timed, too.
    two, four, debiased = SSLHSICLoss(), SSLHSICLoss(), SSLHSICLoss(regularizer="debiased")
    return {
        OURS: (2, lambda views: two(views)[0], SIZES[-1]),
        "ssl-hsic, 4 views": (4, lambda views: four(views)[0], SIZES[-1]),
        "ssl-hsic, debiased": (2, lambda views: debiased(views)[0], SIZES[-1]),
        "ssl-hsic, exact": (2, exact, 4096),
        "NT-Xent": (2, lambda views: ntxent(*views), 8192),
        "VICReg": (2, lambda views: vicreg(*views), SIZES[-1]),
        "Barlow Twins": (2, lambda views: barlow(*views), SIZES[-1]),
    }


def measure(
    function: Callable[[list[torch.Tensor]], torch.Tensor], count: int, size: int, dim: int
) -> dict[str, float]:
    """Median seconds of a forward and backward pass, and the peak of allocated memory beyond the views, in MiB."""
    torch.manual_seed(0)
    views = [torch.randn(size, dim, requires_grad=True) for _ in range(count)]

    def once() -> None:
        function(views).backward()
        for view in views:
            view.grad = None

    once()
    seconds, budget = [], time.perf_counter() + 4.0
    while len(seconds) < 3 or (len(seconds) < 25 and time.perf_counter() < budget):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "mib": peak_memory(once) / 2**20}


def peak_memory(function: Callable[[], object]) -> int:
    """Bytes: the largest sum of what a call allocated and had not yet freed."""
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
    """Slope of log time over log B for the largest four sizes."""
    chosen = sorted(rows, key=lambda row: row["size"])[-4:]
    slope, _ = np.polyfit(np.log([row["size"] for row in chosen]), np.log([row["seconds"] for row in chosen]), 1)
    return float(slope)


def report(rows: list[dict], dim: int) -> str:
    """A Markdown table of one embedding width."""
    sizes = sorted({row["size"] for row in rows})
    table = {(row["name"], row["size"]): row for row in rows if row["dim"] == dim}
    names = list(dict.fromkeys(name for name, _ in table))
    lines = [f"d = {dim}, ms (MiB)", "| loss | " + " | ".join(f"B = {size}" for size in sizes) + " | exponent |"]
    lines.append("|---|" + "---|" * (len(sizes) + 1))
    for name in names:
        cells = []
        for size in sizes:
            row = table.get((name, size))
            cells.append("–" if row is None else f"{1e3 * row['seconds']:.0f} ({row['mib']:.0f})")
        own = [row for row in rows if row["name"] == name and row["dim"] == dim]
        slope = f"{exponent(own):.2f}" if len(own) > 1 else "–"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {slope} |")
    common = [size for size in sizes if (OURS, size) in table and ("NT-Xent", size) in table]
    at = 4096 if 4096 in common else common[-1]
    ours = table[OURS, at]
    lines.append(f"\nRelative to ours with two views at B = {at}, time and peak memory:")
    for name in names:
        if name != OURS and (name, at) in table:
            row = table[name, at]
            lines.append(
                f"- {name}: {row['seconds'] / ours['seconds']:.1f} × time, {row['mib'] / ours['mib']:.1f} × memory"
            )
    return "\n".join(lines)


def draw(rows: list[dict], output: Path) -> None:
    """Time over batch size, a panel for each embedding width."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three small sizes, d = 256")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    sizes, dims = ((256, 512, 1024), (256,)) if options.quick else (SIZES, DIMS)
    rows, contenders = [], losses()
    for dim in dims:
        for name, (count, function, largest) in contenders.items():
            for size in (size for size in sizes if size <= largest):
                measured = measure(function, count, size, dim)
                rows.append({"name": name, "size": size, "dim": dim} | measured)
                print(rows[-1], file=sys.stderr, flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}
    (options.output / "loss.json").write_text(json.dumps(facts, indent=1))
    draw(rows, options.output / "loss.png")
    for dim in dims:
        print(report(rows, dim), end="\n\n")


if __name__ == "__main__":
    main()
