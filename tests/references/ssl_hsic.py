"""The SSL-HSIC objective in float64 NumPy over full kernel matrices: slow, exact, written from the formulas."""

import numpy as np


def imq(z: np.ndarray, scale: float) -> np.ndarray:
    """c / √(c² + ‖x − y‖²) for all pairs of rows."""
    squared = ((z[:, None] - z[None]) ** 2).sum(-1)
    return scale / np.sqrt(scale**2 + squared)


def hsic_zy(kernel: np.ndarray, images: int, views: int) -> float:
    """1/(BM(M−1))·Σ_i Σ_{p,l} k − 1/(BM)²·Σ k − 1/(M−1); rows ordered image by image."""
    n = images * views
    blocks = kernel.reshape(images, views, images, views)
    positives = sum(blocks[i, :, i].sum() for i in range(images))
    return positives / (n * (views - 1)) - kernel.sum() / n**2 - 1 / (views - 1)


def hsic_zz(first: np.ndarray, second: np.ndarray) -> float:
    """Tr(K₁HK₂H) / n² for kernel matrices from two draws; the same matrix twice gives the exact quantity."""
    n = len(first)
    centre = np.eye(n) - 1 / n
    return float(np.trace(first @ centre @ second @ centre)) / n**2


def hsic_zz_debiased(first: np.ndarray, second: np.ndarray, images: int, views: int) -> float:
    """The centred matrices' product summed over pairs of different images, over the number of those pairs."""
    n = len(first)
    centre = np.eye(n) - 1 / n
    product = (centre @ first @ centre) * (centre @ second @ centre)
    image = np.repeat(np.arange(images), views)
    return float(product[image[:, None] != image[None]].sum()) / (images * (images - 1) * views**2)
