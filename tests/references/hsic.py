"""HSIC and CKA in float64 NumPy, straight from the definitions."""

from itertools import permutations

import numpy as np


def hsic_biased(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741 - K and L are their names
    """Tr(KHLH) / (n−1)²."""
    n = len(k)
    center = np.eye(n) - 1 / n
    return float(np.trace(k @ center @ l @ center)) / (n - 1) ** 2


def hsic_unbiased(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    """The U-statistic over distinct indices, by loops: pairs − 2 · triples + quadruples."""
    n = len(k)
    two = np.mean([k[i, j] * l[i, j] for i, j in permutations(range(n), 2)])
    three = np.mean([k[i, j] * l[i, m] for i, j, m in permutations(range(n), 3)])
    four = np.mean([k[i, j] * l[m, o] for i, j, m, o in permutations(range(n), 4)])
    return float(two - 2 * three + four)
