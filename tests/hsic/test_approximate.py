import pytest
import torch

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, draw_features, ssl_hsic_loss
from tests.hsic.test_loss import unit_views
from tests.references import ssl_hsic as reference


def draws_of(count: int, dim: int, features: int, seed: int, *, low_noise: bool):
    generator = torch.Generator().manual_seed(seed)
    options = dict.fromkeys(("orthogonal", "paired", "stratified"), low_noise)
    return [draw_features(KERNELS["imq"], dim, features, generator=generator, **options) for _ in range(count)]


@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
def test_low_noise_has_the_exact_terms_as_its_mean(regularizer):
    z, scale = unit_views(16, 2, 8), torch.tensor(1.0).double()
    exact = torch.stack(ssl_hsic_loss(z, (), scale, regularizer=regularizer)[1][:2])
    found = torch.stack(
        [
            torch.stack(
                ssl_hsic_loss(
                    z, draws_of(2, 8, 64, seed, low_noise=True), scale, regularizer=regularizer, low_noise=True
                )[1][:2]
            )
            for seed in range(1000)
        ]
    )
    error = found.std(dim=0) / len(found) ** 0.5
    assert ((found.mean(dim=0) - exact).abs() < 4 * error).all()
    assert (4 * error < 0.1 * exact).all()  # the check has the power to see a bias of a tenth


def test_low_noise_takes_positive_pairs_from_the_kernel_and_all_pairs_from_both_draws():
    z, scale = unit_views(6, 3, 5), torch.tensor(0.7, dtype=torch.float64)
    draws = draws_of(2, 5, 32, 0, low_noise=True)
    _, terms = ssl_hsic_loss(z, draws, scale, low_noise=True)
    kernel = reference.imq(z.flatten(0, 1).numpy(), 0.7)
    blocks = torch.from_numpy(kernel).view(6, 3, 6, 3).diagonal(dim1=0, dim2=2)
    positives = (blocks.sum() - blocks.diagonal().sum()) / (6 * 3 * 2)
    means = [draw.at(scale)(z.flatten(0, 1)).mean(dim=0).square().sum() for draw in draws]
    assert terms.zy.item() == pytest.approx((positives - sum(means) / 2).item(), abs=1e-10)


@pytest.mark.parametrize("kernel", ["imq", "gaussian", "laplace"])
def test_low_noise_gradient_is_that_of_finite_differences(kernel):
    z = unit_views(5, 3, 4).requires_grad_()
    draws = draws_of(4, 4, 16, 0, low_noise=True)
    scale = torch.tensor(0.8).double()
    assert torch.autograd.gradcheck(lambda z: ssl_hsic_loss(z, draws, scale, kernel=kernel, low_noise=True)[0], z)


@pytest.mark.parametrize("low_noise", [False, True])
def test_several_pairs_of_draws_are_averaged(low_noise):
    z, scale = unit_views(8, 2, 6), torch.tensor(1.0).double()
    draws = draws_of(6, 6, 32, 0, low_noise=low_noise)
    _, together = ssl_hsic_loss(z, draws, scale, low_noise=low_noise)
    alone = [ssl_hsic_loss(z, draws[i : i + 2], scale, low_noise=low_noise)[1] for i in (0, 2, 4)]
    for part in (0, 1):
        mean = sum(terms[part] for terms in alone) / 3
        torch.testing.assert_close(together[part], mean)


def test_evenly_spread_lengths_steady_the_value():
    """That of HSIC(Z, Y), which positive pairs by the kernel make noisier; not the gradient."""
    z, scale = unit_views(16, 2, 8), torch.tensor(1.0).double()

    def spread(*, stratified: bool) -> tuple[float, float]:
        values, gradients = [], []
        for seed in range(120):
            generator = torch.Generator().manual_seed(seed)
            options = {"orthogonal": True, "paired": True, "stratified": stratified, "generator": generator}
            draws = [draw_features(KERNELS["imq"], 8, 64, **options) for _ in range(2)]
            leaf = z.clone().requires_grad_()
            loss, terms = ssl_hsic_loss(leaf, draws, scale, low_noise=True)
            loss.backward()
            values.append(terms.zy.detach())
            gradients.append(leaf.grad)
        deviation = torch.stack(gradients).std(dim=0).square().sum().sqrt()
        return torch.stack(values).std().item(), deviation.item()

    (value, gradient), (plain_value, plain_gradient) = spread(stratified=True), spread(stratified=False)
    assert value < 0.7 * plain_value
    assert 0.8 < gradient / plain_gradient < 1.2


def test_an_odd_number_of_draws_is_refused():
    with pytest.raises(ConfigError, match="Got 3 draws for the imq kernel; expected pairs, or none for the exact form"):
        ssl_hsic_loss(unit_views(4, 2, 3), draws_of(3, 3, 8, 0, low_noise=False), torch.tensor(1.0))


def gradient(views, **options):
    leaves = [view.clone().requires_grad_() for view in views]
    SSLHSICLoss(**options)(leaves)[0].backward()
    return torch.stack([leaf.grad for leaf in leaves])


def relative_deviation(views, count, **options):
    exact = gradient(views, estimator="exact")
    errors = [gradient(views, estimator="features", seed=seed, **options) - exact for seed in range(count)]
    return (torch.stack([error.square().sum() for error in errors]).mean().sqrt() / exact.norm()).item()


def test_low_noise_has_less_than_half_the_papers_noise_in_the_gradient():
    views = list(unit_views(64, 2, 64).float().unbind(1))
    paper, low = (relative_deviation(views, 10, num_features=512, low_noise=low_noise) for low_noise in (False, True))
    assert low < 0.5 * paper


@pytest.mark.parametrize("options", [{"num_features": 256}, {"num_features": 2048}, {"low_noise": False}])
def test_gradient_noise_is_the_deviation_of_the_gradient_over_its_norm(options):
    views = list(unit_views(64, 2, 32).float().unbind(1))
    expected = relative_deviation(views, 16, **options)
    estimates = []
    for seed in range(16):
        criterion = SSLHSICLoss(estimator="features", seed=seed, **options)
        estimates.append(criterion.gradient_noise(views).item())
        assert criterion.draws_made == 0
    assert torch.tensor(estimates).median().item() == pytest.approx(expected, rel=0.3)


def test_gradient_noise_counts_the_trained_views_and_leaves_no_trace():
    views = [view.float() for view in unit_views(16, 2, 8).unbind(1)]
    views[0].requires_grad_()
    criterion = SSLHSICLoss(estimator="features", num_features=64)
    noise = criterion.gradient_noise(views)
    assert 0 < noise < 100
    assert noise == criterion.gradient_noise(views)
    assert views[0].grad is None
    assert criterion.kernel_scale.grad is None


def test_gradient_noise_of_collapsed_embeddings_is_finite():
    criterion = SSLHSICLoss(estimator="features", num_features=64)
    assert 0 <= criterion.gradient_noise([torch.ones(8, 4)] * 2) <= 100
