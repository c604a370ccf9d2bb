"""Plain or orthogonal random features? Their variance and cost, side by side, on unit vectors as the loss sees them.

python benchmarks/features.py [--draws N]: for the paper's kernel and the Gaussian one, the standard deviation over
draws of k̂(x, y), HSIC(Z, Y) and HSIC(Z, Z), orthogonal over plain, and the time of a draw. Below 1 favours orthogonal.
"""

import argparse
import time

import torch
from torch.nn import functional as F

from sslhsic_transfer.hsic import KERNELS, draw_features, ssl_hsic_loss


def unit_views(images: int, views: int, dim: int, noise: float) -> torch.Tensor:
    centres = F.normalize(torch.randn(images, 1, dim), dim=-1)
    return F.normalize(centres + noise * F.normalize(torch.randn(images, views, dim), dim=-1), dim=-1)


def deviations(z: torch.Tensor, kernel: str, count: int, orthogonal: bool, draws: int) -> tuple[torch.Tensor, float]:
    """Standard deviation over draws of (k̂ of a pair of images, HSIC(Z, Y), HSIC(Z, Z)), and the seconds of a draw."""
    values, seconds, scale = [], 0.0, torch.tensor(1.0)
    pairs = z[:2, 0], z[2:4, 0]
    for _ in range(draws):
        start = time.perf_counter()
        first, second = (draw_features(KERNELS[kernel], z.shape[-1], count, orthogonal=orthogonal) for _ in range(2))
        seconds += (time.perf_counter() - start) / 2
        estimate = (first(pairs[0]) * first(pairs[1])).sum(dim=1)[0]
        _, terms = ssl_hsic_loss(z, (first, second), scale)
        values.append(torch.stack([estimate, terms.zy, terms.zz]))
    return torch.stack(values).std(dim=0), seconds / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=300)
    draws = parser.parse_args().draws
    torch.manual_seed(0)
    print("kernel    d     D     orthogonal / plain: std of k̂, of HSIC(Z,Y), of HSIC(Z,Z); time of a draw")
    for kernel in ("imq", "gaussian"):
        for dim, count in ((256, 512), (256, 2048), (64, 512)):
            z = unit_views(256, 2, dim, noise=0.7)
            (plain, plain_time), (ours, time_) = (deviations(z, kernel, count, o, draws) for o in (False, True))
            ratios = "  ".join(f"{ratio:.2f}" for ratio in (ours / plain).tolist())
            print(f"{kernel:9s} {dim:<5d} {count:<5d} {ratios}   {time_ / plain_time:.1f}")


if __name__ == "__main__":
    main()
