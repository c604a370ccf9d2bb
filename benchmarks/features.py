"""Noise of the SSL-HSIC loss's gradient by random features, and what it costs: how features are drawn and used.

python benchmarks/features.py [--features D …] [--images B …] [--repeats N] [--output FILE]: for each way, the deviation
of the gradient over draws relative to the norm of the exact gradient, the time of a forward and backward pass, and the
variance that a second of work leaves, relative to the paper's way. Embeddings are four views of each image, 256 wide,
as at the start of training. Prints a Markdown table and writes it as JSON.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsic_transfer.hsic import KERNELS, RandomFeatures, draw_features, ssl_hsic_loss
from sslhsic_transfer.hsic.features import Features

VIEWS, DIM = 4, 256
Draw = Callable[[int, torch.Generator], Features]


def _draw(**options: bool) -> Draw:
    return lambda count, generator: draw_features(KERNELS["imq"], DIM, count, generator=generator, **options)


def quasi_random(count: int, generator: torch.Generator) -> RandomFeatures:
    """Draw paired features at the points of a scrambled Sobol sequence."""
    seed = int(torch.randint(1 << 30, (), generator=generator))
    points = torch.quasirandom.SobolEngine(DIM + 1, scramble=True, seed=seed).draw(count // 2)
    normal = torch.special.ndtri(points.clamp(1e-6, 1 - 1e-6))
    return RandomFeatures((normal[:, :DIM] * normal[:, DIM:].abs()).T.contiguous(), None)


@dataclass(frozen=True)
class Way:
    """A way to use features: how they are drawn, the pairs of draws, and whether positive pairs use the kernel."""

    draw: Draw
    pairs: int = 1
    low_noise: bool = False


LOW = _draw(orthogonal=True, paired=True, stratified=True)
WAYS = {
    "the paper's": Way(_draw()),
    "orthogonal directions": Way(_draw(orthogonal=True)),
    "a cosine and a sine for each": Way(_draw(paired=True)),
    "both": Way(_draw(orthogonal=True, paired=True)),
    "quasi-random, a cosine and a sine": Way(quasi_random),
    "the paper's, positive pairs by the kernel": Way(_draw(), low_noise=True),
    "quasi-random, positive pairs by the kernel": Way(quasi_random, low_noise=True),
    "**low noise**: orthogonal, cosine and sine, positive pairs by the kernel": Way(LOW, low_noise=True),
    "low noise, 2 pairs of draws": Way(LOW, pairs=2, low_noise=True),
    "low noise, 4 pairs of draws": Way(LOW, pairs=4, low_noise=True),
}


def unit_views(images: int) -> Tensor:
    """Draw (B, M, d) unit vectors, spread out, an image's views nearer to each other than to others."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(images, 1, DIM, generator=generator)
    return F.normalize(centers + torch.randn(images, VIEWS, DIM, generator=generator), dim=-1)


def gradient(points: Tensor, draws: list[Features], *, low_noise: bool) -> Tensor:
    """Return the gradient of the debiased loss along the sphere: the part that normalization leaves."""
    leaf = points.clone().requires_grad_()
    loss, _ = ssl_hsic_loss(leaf, draws, torch.tensor(1.0), regularizer="debiased", low_noise=low_noise)
    (found,) = torch.autograd.grad(loss, leaf)
    return found - (found * points).sum(dim=-1, keepdim=True) * points


def measure(points: Tensor, exact: Tensor, way: Way, features: int, repeats: int) -> dict[str, float]:
    """Measure the relative deviation of the gradient, and median seconds."""
    squares, seconds = [], []
    for repeat in range(repeats + 1):  # the first is not timed
        generator = torch.Generator().manual_seed(repeat)
        start = time.perf_counter()
        draws = [way.draw(features, generator) for _ in range(2 * way.pairs)]
        found = gradient(points, draws, low_noise=way.low_noise)
        seconds.append(time.perf_counter() - start)
        squares.append(((found - exact).square().sum() / exact.square().sum()).item())
    return {"noise": math.sqrt(statistics.mean(squares)), "seconds": statistics.median(seconds[1:])}


def table(rows: list[dict]) -> str:
    """Format a Markdown table: a row for each way, a column for each number of images and features."""
    columns = list(dict.fromkeys((row["images"], row["features"]) for row in rows))
    heads = [f"B = {images}, D = {features}: noise, ms, variance × time" for images, features in columns]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(columns)]
    found = {(row["way"], row["images"], row["features"]): row for row in rows}
    for way in dict.fromkeys(row["way"] for row in rows):
        cells = []
        for images, features in columns:
            row = found[way, images, features]
            if not row["noise"]:
                cells.append(f"0, {1e3 * row['seconds']:.0f}, 0")
                continue
            paper = found["the paper's", images, features]
            variance = (row["noise"] / paper["noise"]) ** 2 * row["seconds"] / paper["seconds"]
            cells.append(f"{row['noise']:.2f}, {1e3 * row['seconds']:.0f}, {variance:.2f}")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--images", nargs="+", type=int, default=[256, 2048])
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("runs/features.json"))
    options = parser.parse_args()
    rows = []
    for images in options.images:
        points = unit_views(images)
        gradient(points, [], low_noise=False)
        start = time.perf_counter()
        exact = gradient(points, [], low_noise=False)
        seconds = time.perf_counter() - start
        for features in options.features:
            for name, way in WAYS.items():
                figures = measure(points, exact, way, features, options.repeats)
                rows.append({"way": name, "images": images, "features": features} | figures)
                print(rows[-1], flush=True)
            rows.append({"way": "exact", "images": images, "features": features, "noise": 0.0, "seconds": seconds})
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
