import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.hsic import KERNELS, MinibatchCKA, cka, cka_from_features, draw_features, hsic, hsic_from_features
from tests.references import hsic as reference

TWINS = {"biased": reference.hsic_biased, "unbiased": reference.hsic_unbiased}


def pairs(rows: int, seed: int = 0, dims=(3, 5), dependence: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dims[0], generator=generator, dtype=torch.float64)
    mix = torch.randn(dims[0], dims[1], generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return x, dependence * (x @ mix) + torch.randn(rows, dims[1], generator=generator, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(4, 9),
    seed=st.integers(0, 500),
    kernel=st.sampled_from(sorted(KERNELS)),
    estimator=st.sampled_from(["biased", "unbiased"]),
)
def test_equals_the_slow_twin(rows, seed, kernel, estimator):
    k, l = (KERNELS[kernel].matrix(points) for points in pairs(rows, seed))  # noqa: E741
    expected = TWINS[estimator](k.numpy(), l.numpy())
    assert hsic(k, l, estimator).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(4, 60), seed=st.integers(0, 500), estimator=st.sampled_from(["biased", "unbiased"]))
def test_features_give_what_their_kernel_matrices_give(rows, seed, estimator):
    x, y = pairs(rows, seed)
    expected = hsic(x @ x.T, y @ y.T, estimator)
    torch.testing.assert_close(hsic_from_features(x, y, estimator), expected, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(
        cka_from_features(x, y, "biased"), cka(x @ x.T, y @ y.T, "biased"), rtol=1e-8, atol=1e-12
    )


def test_shifting_features_changes_nothing_even_far_away():
    x, y = pairs(50)
    shifted = hsic_from_features(x + 1e4, y - 1e4)
    torch.testing.assert_close(shifted, hsic_from_features(x, y), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kernel", ["imq", "linear"])
def test_unbiased_means_unbiased(kernel):
    """Mean over many small samples of independent pairs is zero, and of dependent ones that of a large sample."""
    family = KERNELS[kernel]

    def estimate(rows, seed, dependence, estimator):
        k, l = (family.matrix(points) for points in pairs(rows, seed, dependence=dependence))  # noqa: E741
        return hsic(k, l, estimator).item()

    seeds = range(1, 1501)
    independent = np.array([estimate(8, seed, 0.0, "unbiased") for seed in seeds])
    assert abs(independent.mean()) < 4 * independent.std() / len(seeds) ** 0.5
    biased = np.array([estimate(8, seed, 0.0, "biased") for seed in seeds])
    assert biased.mean() > 10 * biased.std() / len(seeds) ** 0.5
    small = np.array([estimate(8, seed, 1.0, "unbiased") for seed in seeds])
    large = np.array([estimate(1500, seed, 1.0, "unbiased") for seed in range(6)])
    error = np.hypot(small.std() / len(seeds) ** 0.5, large.std() / 6**0.5)
    assert abs(small.mean() - large.mean()) < 4 * error


def test_random_features_approach_the_exact_kernel():
    x, y = pairs(80)
    generator = torch.Generator().manual_seed(0)
    exact = hsic(KERNELS["gaussian"].matrix(x, scale=2.0), KERNELS["gaussian"].matrix(y, scale=2.0))
    phi, psi = (
        draw_features(KERNELS["gaussian"], points.shape[1], 6000, generator=generator).at(2.0)(points)
        for points in (x, y)
    )
    assert hsic_from_features(phi, psi).item() == pytest.approx(exact.item(), rel=0.1)


def test_published_package_agrees():
    """hyppo's HSIC is the alignment of Gaussian kernels: from biased estimates its root, from unbiased ones itself."""
    hyppo = pytest.importorskip("hyppo.independence")
    x, y = pairs(40, dependence=0.4)
    k, l = (KERNELS["gaussian"].matrix(points, scale=1.5) for points in (x, y))  # noqa: E741
    for bias, estimator in ((True, "biased"), (False, "unbiased")):
        theirs = hyppo.Hsic(compute_kernel="rbf", bias=bias, gamma=1 / (2 * 1.5**2)).statistic(x.numpy(), y.numpy())
        assert cka(k, l, estimator).item() == pytest.approx(float(theirs) ** (2 if bias else 1), rel=1e-3)


def test_cka_is_one_for_equal_representations_and_blind_to_rotation_and_size():
    x, y = pairs(30)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    for estimator in ("biased", "unbiased"):
        assert cka_from_features(x, 7 * x @ rotation, estimator).item() == pytest.approx(1)
        torch.testing.assert_close(cka_from_features(x @ rotation, y, estimator), cka_from_features(x, y, estimator))


def test_minibatch_cka_does_not_depend_on_the_batches():
    x, y = pairs(4000, dependence=0.5)
    whole = cka_from_features(x, y).item()
    for size in (8, 64):
        comparison = MinibatchCKA()
        for a, b in zip(x.split(size), y.split(size), strict=True):
            comparison.update(a, b)
        assert comparison.compute() == pytest.approx(whole, abs=0.03)
    with pytest.raises(InputError, match="No batch"):
        MinibatchCKA().compute()


def test_gradients_flow():
    x, y = pairs(6)
    assert torch.autograd.gradcheck(hsic_from_features, (x.requires_grad_(), y))
    assert torch.autograd.gradcheck(lambda x: hsic(KERNELS["imq"].matrix(x), KERNELS["imq"].matrix(y)), (x,))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((torch.eye(4), torch.eye(5)), r"\(4, 4\) and \(5, 5\)"),
        ((torch.randn(4, 3), torch.randn(4, 3)), r"expected both \(N, N\)"),
        ((torch.eye(3), torch.eye(3)), "needs at least 4"),
        ((torch.eye(5), torch.eye(5), "median"), "'biased' or 'unbiased'"),
    ],
)
def test_refuses_what_does_not_fit(arguments, found):
    with pytest.raises(InputError, match=found):
        hsic(*arguments)
    with pytest.raises(InputError, match=r"Got \(5, 2\) and \(4, 2\); expected \(N, D\) and \(N, E\)"):
        hsic_from_features(torch.randn(5, 2), torch.randn(4, 2))


def test_a_constant_representation_is_no_missing_batch():
    comparison = MinibatchCKA()
    comparison.update(torch.zeros(8, 3), torch.zeros(8, 3))
    assert math.isnan(comparison.compute())


def test_no_batch_stays_in_memory():
    kept, batch = [], torch.randn(8, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        MinibatchCKA().update(batch, batch)
    assert not kept, "for a backward pass that nobody asked for"
