import pytest
import torch
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss
from sslhsic_transfer.hsic.scale import scale_gradient
from tests.references.ssl_hsic import scale_objective


def test_orthogonal_embeddings_have_their_optimum_at_one():
    z = torch.eye(16, dtype=torch.float64)[:, None]
    below, optimum, above = (scale_gradient(z, torch.tensor(c), KERNELS["imq"]).item() for c in (0.9, 1.0, 1.1))
    assert below > 0 > above
    assert optimum == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("start", [0.4, 2.5])
def test_scale_is_learned_to_the_fixed_point(start):
    """All pairs at squared distance s: c = √(s/2). Orthogonal unit vectors have s = 2, so c = 1."""
    basis = torch.eye(32)
    criterion = SSLHSICLoss(initial_scale=start)
    optimizer = torch.optim.Adam(criterion.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        criterion([basis[:16], basis[16:]])[0].backward()
        optimizer.step()
    assert criterion.kernel_scale.item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("estimator", ["exact", "features"])
@pytest.mark.parametrize("kernel", ["imq", "gaussian", "laplace"])
def test_gradient_is_taken_of_the_entropy_objective_alone(kernel, estimator):
    views = [torch.randn(16, 8, dtype=torch.float64) for _ in range(2)]
    criterion = SSLHSICLoss(kernel=kernel, estimator=estimator)
    criterion(views)[0].backward()
    z = F.normalize(torch.stack(views, 1), dim=-1).flatten(0, 1).numpy()
    step = 1e-5
    up, down = (scale_objective(z, 1 + d, kernel) for d in (step, -step))
    assert criterion.kernel_scale.grad is not None
    assert criterion.kernel_scale.grad.item() == pytest.approx(-(up - down) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("estimator", ["exact", "features"])
def test_learning_the_scale_changes_neither_loss_nor_other_gradients(estimator):
    gradients, losses = [], []
    for learn in (True, False):
        torch.manual_seed(0)
        views = [torch.randn(16, 8, requires_grad=True) for _ in range(2)]
        loss, _ = SSLHSICLoss(learn_scale=learn, estimator=estimator)(views)
        loss.backward()
        losses.append(loss.item())
        gradients.append(views[0].grad)
    assert losses[0] == losses[1]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", ["imq", "gaussian", "laplace"])
def test_slope_is_the_derivative_of_the_kernel(name):
    kernel = KERNELS[name]
    s = torch.linspace(0.1, 4, 9, dtype=torch.float64, requires_grad=True)
    c = torch.tensor(0.7, dtype=torch.float64)
    (derivative,) = torch.autograd.grad(kernel.profile(s, c).sum(), s)
    torch.testing.assert_close(kernel.slope(s, c), derivative.abs())


@pytest.mark.parametrize("name", ["imq", "gaussian", "laplace"])
def test_log_slope_gradient_is_its_derivative_in_the_scale(name):
    kernel = KERNELS[name]
    s = torch.linspace(0.1, 4, 9, dtype=torch.float64)
    c = torch.full_like(s, 0.7).requires_grad_()
    (derivative,) = torch.autograd.grad(kernel.slope(s, c).log().sum(), c)
    torch.testing.assert_close(kernel.log_slope_gradient(s, c.detach()), derivative)


@pytest.mark.parametrize("name", ["imq", "gaussian", "laplace"])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_a_scale_far_off_has_a_gradient_that_leads_back(name, scale):
    """Where the slope itself underflows, too."""
    z = torch.eye(8)[:, None]
    gradient = scale_gradient(z, torch.tensor(scale), KERNELS[name])
    assert gradient.isfinite()
    assert (gradient > 0) == (scale < 1)


def test_the_linear_kernel_has_no_scale():
    criterion = SSLHSICLoss(kernel="linear")
    assert not criterion.kernel_scale.requires_grad
    with pytest.raises(ConfigError, match="no scale"):
        scale_gradient(torch.randn(4, 2, 3), torch.tensor(1.0), KERNELS["linear"])


def test_beside_random_features_the_first_images_serve_where_there_are_many(monkeypatch):
    z = F.normalize(torch.randn(16, 2, 5, dtype=torch.float64), dim=-1)
    first = scale_gradient(z[:4], torch.tensor(1.0), KERNELS["imq"])
    monkeypatch.setattr("sslhsic_transfer.hsic.scale.MAX_ROWS", 8)  # two views of four images
    torch.testing.assert_close(scale_gradient(z, torch.tensor(1.0), KERNELS["imq"]), first)


def test_in_the_exact_form_all_pairs_serve(monkeypatch):
    views = list(F.normalize(torch.randn(2, 16, 5, dtype=torch.float64), dim=-1))

    def gradient(estimator):
        criterion = SSLHSICLoss(estimator=estimator).double()
        criterion([view.clone().requires_grad_() for view in views])[0].backward()
        return criterion.kernel_scale.grad

    whole = gradient("exact")
    torch.testing.assert_close(gradient("features"), whole)  # all rows are among the first ones
    monkeypatch.setattr("sslhsic_transfer.hsic.scale.MAX_ROWS", 8)
    torch.testing.assert_close(gradient("exact"), whole)
    assert (gradient("features") - whole).abs() > 1e-3
