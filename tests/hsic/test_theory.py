"""Known properties of the method, as numbers (Li et al. 2021, sections 3 and 4, and what follows from them)."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sslhsic_transfer.hsic import KERNELS, RandomFeatures, draw_features, hsic, ssl_hsic_loss


def unit_views(images: int, views: int, dim: int, seed: int = 0, noise: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(images, 1, dim, generator=generator, dtype=torch.float64)
    offsets = torch.randn(images, views, dim, generator=generator, dtype=torch.float64)
    return F.normalize(centers + noise * offsets, dim=-1)


def draws_of(dim: int, count: int = 64, kernel: str = "imq"):
    generator = torch.Generator().manual_seed(1)
    return tuple(draw_features(KERNELS[kernel], dim, count, generator=generator) for _ in range(2))


def one(value: float = 1.0) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("views", [2, 4])
@pytest.mark.parametrize("scale", [0.7, 1.0])
def test_released_codes_formula(views, scale):
    """The released code's loss for the same W and b, computed view by view; its HSIC(X, Y) has 1/(M−1) more."""
    z, draws = unit_views(9, views, 5), draws_of(5)
    first, second = (
        np.sqrt(2 / 64) * np.cos(z.numpy() @ draw.weight.double().numpy() / scale + draw.phase.double().numpy())
        for draw in draws
    )
    batch, rows = len(z), len(z) * views
    hsic_xy = sum(
        np.einsum("bd,bd->", first[:, p], first[:, q]) / (rows * (views - 1))
        for p in range(views)
        for q in range(views)
    )
    hsic_xy -= (sum(first[:, p].sum(0) for p in range(views)) ** 2).sum() / rows**2
    centered = [features.reshape(rows, -1) - features.reshape(rows, -1).mean(0) for features in (first, second)]
    hsic_xx = (np.einsum("nd,ne->de", *centered) ** 2).sum() / rows**2
    released = -hsic_xy + 3 * math.sqrt(hsic_xx)

    loss, terms = ssl_hsic_loss(z, draws, one(scale))
    assert batch == 9
    assert terms.zy.item() + 1 / (views - 1) == pytest.approx(hsic_xy, abs=1e-9)
    assert loss.item() - 1 / (views - 1) == pytest.approx(released, abs=1e-9)


def test_infonce_is_minus_hsic_plus_half_the_variance_to_second_order():
    """With similarity ε·k, InfoNCE = −ε·HSIC(Z,Y) + ε²/2·E Var(k) + O(ε³): halving ε divides the rest by eight."""
    z = unit_views(40, 2, 6)
    positive = KERNELS["imq"].matrix(z[:, 0], z[:, 1])
    rests = []
    for epsilon in (0.4, 0.2, 0.1):
        k = epsilon * positive
        infonce = (k.exp().mean(dim=1).log() - k.diagonal()).mean()
        dependence = k.diagonal().mean() - k.mean()
        rests.append((infonce + dependence - k.var(dim=1, unbiased=False).mean() / 2).item())
    assert rests[0] / rests[1] == pytest.approx(8, rel=0.3)
    assert rests[1] / rests[2] == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize("views", [2, 3])
def test_linear_kernel_measures_the_scatter_within_images(views):
    """−HSIC(Z,Y) = (mean ‖z − z'‖² of an image's views)/2 − 1 + ‖mean z‖²: BYOL's attraction, if centered."""
    z = unit_views(12, views, 5)
    _, terms = ssl_hsic_loss(z, draws_of(5, kernel="linear"), one())
    scatter = np.mean([(z[:, p] - z[:, q]).square().sum(1).mean() for p in range(views) for q in range(p)])
    assert -terms.zy.item() == pytest.approx(scatter / 2 - 1 + z.mean(dim=(0, 1)).square().sum().item(), abs=1e-12)


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_hsic_of_identity_is_half_the_mean_mmd_between_images(kernel):
    """N·HSIC(Z,Y), over all pairs of views, is half the mean MMD² between two images' views."""
    images, views = 8, 4
    z = unit_views(images, views, 5)
    matrix = KERNELS[kernel].matrix(z.flatten(0, 1))
    rows = images * views
    identity = torch.arange(images).repeat_interleave(views)
    same = (identity[:, None] == identity[None]).double()
    dependence = hsic(matrix, same, "biased") * (rows - 1) ** 2 / rows**2
    means = matrix.view(images, views, images, views).mean(dim=(1, 3))
    mmd = means.diagonal()[:, None] + means.diagonal()[None] - 2 * means
    assert (images * dependence).item() == pytest.approx(mmd.mean().item() / 2, abs=1e-12)


@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
def test_rotating_embeddings_is_rotating_frequencies(regularizer):
    """Frequencies of every kernel here are distributed alike in all directions: a rotation changes no distribution."""
    z, draws = unit_views(10, 2, 6), draws_of(6)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    turned = tuple(RandomFeatures(rotation.T @ draw.weight.double(), draw.phase) for draw in draws)
    plain = ssl_hsic_loss(z, draws, one(), regularizer=regularizer)[0]
    assert ssl_hsic_loss(z @ rotation, turned, one(), regularizer=regularizer)[0].item() == pytest.approx(
        plain.item(), abs=1e-9
    )
    order = torch.randperm(10)
    shuffled = ssl_hsic_loss(z[order].flip(1), draws, one(), regularizer=regularizer)[0]
    assert shuffled.item() == pytest.approx(plain.item(), abs=1e-12)


def test_small_batches_are_regularized_by_the_same_image_terms():
    """On independent unit vectors the biased √HSIC(Z,Z) grows like (1 − k̄)/√B, what no encoder can remove."""
    for images in (64, 256):
        z = F.normalize(torch.randn(images, 1, 256, generator=torch.Generator().manual_seed(0)).double(), dim=-1)
        z = z.expand(-1, 2, -1)
        matrix = KERNELS["imq"].matrix(z[:, 0])
        mean = (matrix.sum() - images) / (images * (images - 1))
        kernel = KERNELS["imq"].matrix(z.flatten(0, 1))
        rows = 2 * images
        root = (hsic(kernel, kernel, "biased") * (rows - 1) ** 2 / rows**2).sqrt().item()
        assert root == pytest.approx((1 - mean.item()) / images**0.5, rel=0.1)
