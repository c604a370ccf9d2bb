import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.loss import peak_memory
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, pairs, ssl_hsic_loss
from sslhsic_transfer.hsic.exact import _Debiased, _Sums
from tests.hsic.test_loss import BATCHES, unit_views
from tests.references import ssl_hsic as reference

CURVED = sorted(name for name, kernel in KERNELS.items() if kernel.profile)


def exact(z: torch.Tensor, scale: float, **options):
    return ssl_hsic_loss(z, (), torch.tensor(scale, dtype=torch.float64), **options)


def twin(z: np.ndarray, scale: float, kernel: str, regularizer: str) -> tuple[float, float]:
    """Compute HSIC(Z, Y) and HSIC(Z, Z) from full matrices."""
    images, views, _ = z.shape
    values = reference.KERNELS[kernel](z.reshape(images * views, -1), scale)
    if regularizer == "biased":
        return reference.hsic_zy(values, images, views), reference.hsic_zz(values, values)
    return reference.hsic_zy(values, images, views), reference.hsic_zz_unbiased(values, values, images, views)


@pytest.mark.parametrize("kernel", CURVED)
@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
@settings(max_examples=15, deadline=None)
@given(tile=st.sampled_from([1, 8, 512]), **BATCHES)
def test_equals_the_twin(kernel, regularizer, images, views, dim, scale, gamma, tile, seed):
    z = unit_views(images, views, dim, seed)
    zy, zz = twin(z.numpy(), scale, kernel, regularizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS_ON_CPU", tile)
        loss, terms = exact(z, scale, kernel=kernel, gamma=gamma, regularizer=regularizer)
    near = 1e-7 if kernel == "laplace" else 1e-10  # a root of distances that are off by 1e-16
    assert terms.zy.item() == pytest.approx(zy, abs=near)
    assert terms.zz.item() == pytest.approx(zz, abs=near)
    assert loss.item() == pytest.approx(-zy + gamma * math.sqrt(max(zz, 1e-12)), abs=100 * near)
    assert terms.zy_noise == 0


@pytest.mark.parametrize("kernel", CURVED)
@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
@pytest.mark.parametrize("tile", [1, 6, 512])
def test_gradient_is_that_of_finite_differences(kernel, regularizer, tile, monkeypatch):
    monkeypatch.setattr(pairs, "_ROWS_ON_CPU", tile)
    z = unit_views(6, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: exact(z, 0.8, kernel=kernel, regularizer=regularizer)[0], z)


@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
@pytest.mark.parametrize("kernel", CURVED)
def test_float32_is_near_the_twin(kernel, regularizer):
    """Embeddings as at the start of training: both terms are small differences of kernel values near each other."""
    views = [view.float().requires_grad_() for view in unit_views(48, 4, 128).unbind(1)]
    precise = [view.detach().double().requires_grad_() for view in views]
    losses = [
        SSLHSICLoss(estimator="exact", kernel=kernel, regularizer=regularizer)(each)[0] for each in (views, precise)
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for loss in losses:
        loss.backward()
    found, expected = (torch.stack([view.grad for view in each]).double() for each in (views, precise))
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("trained", [(0, 1), (1, 3), (2,)])
@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
def test_only_the_trained_views_get_a_gradient_and_it_is_the_same(trained, regularizer, monkeypatch):
    monkeypatch.setattr(pairs, "_ROWS_ON_CPU", 12)
    gradients = []
    for views in (None, trained):
        z = unit_views(8, 4, 5).requires_grad_()
        exact(z, 1.0, regularizer=regularizer, trained=views)[0].backward()
        gradients.append(z.grad)
    others = [view for view in range(4) if view not in trained]
    torch.testing.assert_close(gradients[1][:, list(trained)], gradients[0][:, list(trained)])
    assert not gradients[1][:, others].any()


def test_memory_is_that_of_a_tile():
    """Eight times the images take eight times the memory of embeddings, not 64 times that of pairs."""
    criterion = SSLHSICLoss(estimator="exact", regularizer="debiased")

    def peak(images: int) -> int:
        views = [torch.randn(images, 8, requires_grad=True) for _ in range(2)]
        return peak_memory(lambda: criterion(views)[0].backward())

    small, large = peak(256), peak(2048)
    assert large - small < 12 * 4 * 2 * 1792 * 8  # twelve times the further images' embeddings
    assert large < 4 * 4096**2 / 2  # half of one kernel matrix


def test_numbers_of_quadruples_beyond_64_bits():
    batch = pairs.Batch(torch.ones(2, 70_000, 1), slice(0, 70_000))
    assert _Debiased(batch, _Sums.zeros(batch)).value == 0


def test_nothing_is_drawn():
    criterion = SSLHSICLoss(estimator="exact")
    views = [torch.randn(8, 4, requires_grad=True) for _ in range(2)]
    values = [criterion(views) for _ in range(2)]
    assert values[0][0] == values[1][0]
    assert criterion.draws_made == 0
    assert values[0][1]["exact"] == 1
    assert criterion.gradient_noise(views) == 0


def test_the_gradient_is_float32s_wherever_backward_is_called():
    gradients = []
    for inside in (False, True):
        views = [view.float().requires_grad_() for view in unit_views(16, 2, 8).unbind(1)]
        loss, _ = SSLHSICLoss(estimator="exact")(views)
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            loss.backward()
        gradients.append(views[0].grad)
    assert torch.equal(*gradients)


def test_the_second_derivative_is_refused():
    z = unit_views(4, 2, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(exact(z, 1.0)[0], z, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()


def test_the_linear_kernel_has_its_exact_form_in_features():
    views = [torch.randn(6, 4, requires_grad=True) for _ in range(2)]
    criterion = SSLHSICLoss(estimator="exact", kernel="linear")
    loss, scalars = criterion(views)
    assert scalars["exact"] == 1
    assert scalars["hsic_zy_noise"] == criterion.gradient_noise(views) == 0
    z = torch.nn.functional.normalize(torch.stack(views, 1).double(), dim=-1).detach()
    kernel = (z.flatten(0, 1) @ z.flatten(0, 1).T).numpy()
    expected = -reference.hsic_zy(kernel, 6, 2) + 3 * math.sqrt(reference.hsic_zz(kernel, kernel))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match="Got 0 draws for the linear kernel; expected pairs of LinearFeatures"):
        ssl_hsic_loss(z, (), torch.tensor(1.0), kernel="linear")
