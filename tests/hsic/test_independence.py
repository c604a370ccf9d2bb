import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.hsic import independence_test
from sslhsic_transfer.hsic.independence import median_scale


def circle(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw points on a circle: their coordinates are uncorrelated, yet dependent."""
    angles = torch.rand(rows, generator=torch.Generator().manual_seed(seed)) * 2 * math.pi
    return angles.cos(), angles.sin()


def test_finds_dependence_that_correlation_misses():
    x, y = circle(80)
    generator = torch.Generator().manual_seed(0)
    assert independence_test(x, y, generator=generator, permutations=199).p_value == 1 / 200
    assert independence_test(x, y, kernel="linear", generator=generator, permutations=199).p_value > 0.05


def test_p_values_of_independent_pairs_are_uniform():
    """An exact test: at every level α it errs with probability α at most. Checked over 150 data sets."""
    values = []
    for seed in range(150):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(20, 2, generator=generator), torch.rand(20, generator=generator)
        values.append(independence_test(x, y, permutations=99, generator=generator).p_value)
    assert kstest(np.array(values) - 0.005, "uniform").pvalue > 1e-3


@pytest.mark.filterwarnings("ignore:The number of replications is low")
def test_agrees_with_the_published_package():
    hyppo = pytest.importorskip("hyppo.independence")
    for noise, low, high in ((0.5, 0.0, 0.05), (50.0, 0.05, 1.0)):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(50, 1, generator=generator)
        y = x.square() + noise * torch.randn(50, 1, generator=generator)
        ours = independence_test(x, y, permutations=199, generator=generator).p_value
        theirs = hyppo.Hsic().test(x.numpy(), y.numpy(), reps=199, auto=False, random_state=0)[1]
        assert low <= ours <= high
        assert low <= theirs <= high


def test_the_generator_fixes_the_result():
    x, y = circle(20)
    first, second = (independence_test(x, y, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert first == second


def test_median_scale():
    assert median_scale(torch.tensor([[0.0], [3.0], [3.0 + 4.0]])).item() == 4.0
    assert median_scale(torch.ones(5, 2)).item() == 1.0


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match=r"\(5, 1\), \(4, 1\)"):
        independence_test(torch.randn(5), torch.randn(4))
    with pytest.raises(InputError, match="at least 4"):
        independence_test(torch.randn(3), torch.randn(3))
    with pytest.raises(InputError, match="0 permutations"):
        independence_test(torch.randn(5), torch.randn(5), permutations=0)
