"""The SSL-HSIC objective in float64 NumPy over full kernel matrices: slow, exact, written from the formulas."""

from itertools import permutations

import numpy as np


def imq(z: np.ndarray, scale: float) -> np.ndarray:
    """c / √(c² + ‖x − y‖²) for all pairs of rows."""
    squared = ((z[:, None] - z[None]) ** 2).sum(-1)
    return scale / np.sqrt(scale**2 + squared)


def gaussian(z: np.ndarray, scale: float) -> np.ndarray:
    """exp(−‖x − y‖² / 2c²) for all pairs of rows."""
    return np.exp(-((z[:, None] - z[None]) ** 2).sum(-1) / (2 * scale**2))


def laplace(z: np.ndarray, scale: float) -> np.ndarray:
    """exp(−‖x − y‖ / c) for all pairs of rows."""
    return np.exp(-np.sqrt(((z[:, None] - z[None]) ** 2).sum(-1)) / scale)


KERNELS = {"imq": imq, "gaussian": gaussian, "laplace": laplace}


def scale_objective(z: np.ndarray, scale: float, kernel: str) -> float:
    """Mean log |∂k_c/∂s| over pairs of distinct rows, from the formulas of the kernels."""
    s = ((z[:, None] - z[None]) ** 2).sum(-1)[~np.eye(len(z), dtype=bool)]
    slopes = {
        "imq": lambda: scale / 2 * (s + scale**2) ** -1.5,
        "gaussian": lambda: np.exp(-s / (2 * scale**2)) / (2 * scale**2),
        "laplace": lambda: np.exp(-np.sqrt(s) / scale) / (2 * scale * np.sqrt(s)),
    }
    return float(np.log(slopes[kernel]()).mean())


def hsic_zy(kernel: np.ndarray, images: int, views: int) -> float:
    """1/(BM(M−1))·Σ_i Σ_{p,l} k − 1/(BM)²·Σ k − 1/(M−1); rows ordered image by image."""
    n = images * views
    blocks = kernel.reshape(images, views, images, views)
    positives = sum(blocks[i, :, i].sum() for i in range(images))
    return positives / (n * (views - 1)) - kernel.sum() / n**2 - 1 / (views - 1)


def hsic_zz(first: np.ndarray, second: np.ndarray) -> float:
    """Tr(K₁HK₂H) / n² for kernel matrices from two draws; the same matrix twice gives the exact quantity."""
    n = len(first)
    center = np.eye(n) - 1 / n
    return float(np.trace(first @ center @ second @ center)) / n**2


def hsic_zz_unbiased(first: np.ndarray, second: np.ndarray, images: int, views: int) -> float:
    """The U-statistic by loops over distinct images: pairs − 2 · triples + quadruples."""
    a, b = (kernel.reshape(images, views, images, views) for kernel in (first, second))
    two = [(a[i, :, j] * b[i, :, j]).mean() for i, j in permutations(range(images), 2)]
    three = [
        np.mean([a[i, p, j].mean() * b[i, p, k].mean() for p in range(views)])
        for i, j, k in permutations(range(images), 3)
    ]
    four = [a[i, :, j].mean() * b[k, :, m].mean() for i, j, k, m in permutations(range(images), 4)]
    return float(np.mean(two) - 2 * np.mean(three) + np.mean(four))
