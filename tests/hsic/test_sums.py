import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.loss import peak_memory
from sslhsic_transfer.hsic import KERNELS, draw_features
from sslhsic_transfer.hsic import sums as module
from sslhsic_transfer.hsic.approximate import _LossSums
from sslhsic_transfer.hsic.groups import BiasedHSIC, UnbiasedHSIC
from sslhsic_transfer.hsic.loss import SSLHSICLoss
from sslhsic_transfer.hsic.sums import Summand, batch_sums


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SUMMANDS = {
    "biased": lambda: BiasedHSIC(),
    "unbiased": lambda: UnbiasedHSIC(random(6, seed=8), random(6, seed=9)),
    "the paper's": lambda: _LossSums(BiasedHSIC(), all_from_first=True),
    "low noise": lambda: _LossSums(BiasedHSIC(), all_from_first=False),
}


def test_the_gradient_is_float32s_wherever_backward_is_called():
    views = [torch.randn(64, 32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    gradients = []
    for inside in (False, True):
        leaves = [view.clone().requires_grad_() for view in views]
        loss, _ = SSLHSICLoss(generator=torch.Generator().manual_seed(3), estimator="features")(leaves)
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            loss.backward()
        gradients.append(leaves[0].grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", sorted(SUMMANDS))
@settings(max_examples=20, deadline=None)
@given(images=st.integers(1, 5), views=st.integers(1, 4), seed=st.integers(0, 100))
def test_inner_has_the_gradient_of_the_weighted_sums(name, images, views, seed):
    """Each summand's short form against the form that computes the sums."""
    summand = SUMMANDS[name]()
    first, second = (random(images, views, 6, seed=seed + part).requires_grad_() for part in (0, 1000))
    values = summand.sums(first, second)
    weights = [random(*value.shape, seed=seed + number) for number, value in enumerate(values)]
    # The count has no gradient, nor has the paper's HSIC(Z, Y) by the second draw, which is only reported.
    without = {"the paper's": (0, 3, 4), "low noise": (0, 2, 4)}.get(name, ())
    weights = [weight * float(number not in without) for number, weight in enumerate(weights)]
    plain = Summand.inner(summand, first, second, tuple(weights))
    short = summand.inner(first, second, tuple(weights))
    for expected, found in zip(
        torch.autograd.grad(plain, (first, second)), torch.autograd.grad(short, (first, second)), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("images", [1, 4, 5, 11])
@pytest.mark.parametrize("kernel", ["imq", "linear"])
def test_blocks_do_not_show_in_the_result(images, kernel, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    draws = tuple(draw_features(KERNELS[kernel], 4, 10, generator=generator) for _ in range(2))
    points = random(images, 3, 4).requires_grad_()
    weights = None
    results = []
    for rows in (10_000, 12, 1):  # all images, four images, and one image a block
        monkeypatch.setattr(module, "_ROWS_ON_CPU", rows)
        totals = batch_sums(points, draws, BiasedHSIC())
        weights = weights or [random(*total.shape, seed=number) for number, total in enumerate(totals)]
        results.append([*totals, *torch.autograd.grad(totals, points, weights)])
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            torch.testing.assert_close(found, expected)


def test_the_second_derivative_is_refused():
    points = random(4, 2, 3).requires_grad_()
    draws = tuple(draw_features(KERNELS["imq"], 3, 5) for _ in range(2))
    (gradient,) = torch.autograd.grad(
        batch_sums(points, draws, BiasedHSIC())[0].square().sum(), points, create_graph=True
    )
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(gradient.sum(), points, retain_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()


@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
def test_a_larger_batch_takes_no_more_memory_for_features(regularizer):
    """Twice the images take twice the memory of embeddings, not of features, which are 32 times as wide here."""
    criterion = SSLHSICLoss(num_features=256, learn_scale=False, regularizer=regularizer, estimator="features")

    def peak(images: int) -> int:
        views = [torch.randn(images, 8, requires_grad=True) for _ in range(2)]
        return peak_memory(lambda: criterion(views)[0].backward())

    small, large = peak(1024), peak(8192)
    embeddings = 4 * 2 * 7168 * 8  # bytes of the further images' embeddings
    assert large - small < 12 * embeddings
    assert large - small < 4 * 2 * 7168 * 256 / 2  # half of the further images' features in one draw
