import pytest
import torch
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import chi, ks_2samp

from sslhsic_transfer.hsic import KERNELS, draw_features


@pytest.mark.parametrize("name", sorted(KERNELS))
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_features_multiply_to_the_kernel(name, scale, orthogonal):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(12, 5, generator=generator)
    draw = draw_features(KERNELS[name], 5, 400_000, orthogonal=orthogonal, generator=generator)
    features = draw.at(scale)(points)
    assert (features @ features.T - KERNELS[name].matrix(points, scale=scale)).abs().max() < 0.01


@pytest.mark.parametrize(("dim", "count"), [(16, 40), (16, 16), (16, 5), (1, 4)])
def test_orthogonal_directions_are_orthogonal_within_blocks(dim, count):
    weight = draw_features(KERNELS["gaussian"], dim, count, orthogonal=True).weight
    assert weight.shape == (dim, count)
    directions = weight / weight.norm(dim=0)
    for block in directions.split(dim, dim=1):
        torch.testing.assert_close(block.T @ block, torch.eye(block.shape[1]), atol=1e-5, rtol=0)


def test_error_at_the_papers_512_features():
    """The mean |k̂ − k| that 512 features are known to give: about 0.03."""
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(64, 256, generator=generator), dim=1)
    features = draw_features(KERNELS["imq"], 256, 512, generator=generator)(points)
    exact = KERNELS["imq"].matrix(points)
    assert (features @ features.T - exact).abs().mean().item() == pytest.approx(0.03, abs=0.01)


def test_imq_frequencies_have_the_published_spectrum():
    """Quantiles 10/50/90/99 % of |w| in 256 dimensions, from the Bessel density of the released code."""
    weight = draw_features(KERNELS["imq"], 256, 200_000, generator=torch.Generator().manual_seed(0)).weight
    quantiles = weight.norm(dim=0).quantile(torch.tensor([0.1, 0.5, 0.9, 0.99]))
    published = torch.tensor([2.00, 10.76, 26.31, 41.37])
    torch.testing.assert_close(quantiles, published, rtol=0.015, atol=0.03)
    # The quantiles of |g|·χ without sampling agree to 0.2 %, and to the digits that are given.
    lengths = torch.linspace(5, 30, 100_001, dtype=torch.float64).numpy()
    density = chi(256).pdf(lengths) * (lengths[1] - lengths[0])
    for share, quantile in zip([0.1, 0.5, 0.9, 0.99], published.tolist(), strict=True):
        exact = brentq(lambda r, share=share: (density * erf(r / lengths / 2**0.5)).sum() - share, 0.1, 100)
        assert exact == pytest.approx(quantile, rel=0.002, abs=0.005)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_frequencies_point_everywhere_and_phases_are_uniform(orthogonal):
    generator = torch.Generator().manual_seed(0)
    draw = draw_features(KERNELS["imq"], 3, 50_000, orthogonal=orthogonal, generator=generator)
    directions = draw.weight / draw.weight.norm(dim=0)
    assert directions.mean(dim=1).abs().max() < 0.02
    assert ks_2samp(draw.phase.numpy() / (2 * torch.pi), torch.rand(50_000).numpy()).pvalue > 1e-4


def test_keeps_precision_and_leading_dimensions():
    draw = draw_features(KERNELS["imq"], 4, 8)
    assert draw(torch.randn(2, 3, 4, dtype=torch.float64)).dtype == torch.float64
    assert draw(torch.randn(2, 3, 4)).shape == (2, 3, 8)


@pytest.mark.parametrize("count", [2, 7, 64])
def test_a_cosine_and_a_sine_give_every_point_a_product_of_one_with_itself(count):
    points = torch.randn(20, 5, dtype=torch.float64)
    features = draw_features(KERNELS["imq"], 5, count, paired=True).at(torch.tensor(0.7))(points)
    torch.testing.assert_close(features.square().sum(dim=1), torch.ones(20, dtype=features.dtype))
    with_phases = draw_features(KERNELS["imq"], 5, count).at(torch.tensor(0.7))(points)
    assert (with_phases.square().sum(dim=1) - 1).abs().max() > 0.05
