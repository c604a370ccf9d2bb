import math
import pickle
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, draw_features, ssl_hsic_loss
from tests.references import ssl_hsic as reference

FORMS = {
    "exact": {"estimator": "exact"},
    "features": {"estimator": "features"},
    "the paper's features": {"estimator": "features", "low_noise": False},
}


# Ranges of a batch and of the loss's settings; below four images there is no unbiased estimate.
BATCHES = {
    "images": st.integers(4, 7),
    "views": st.integers(2, 4),
    "dim": st.integers(1, 9),
    "scale": st.floats(0.3, 3),
    "gamma": st.floats(0, 5),
    "seed": st.integers(0, 1000),
}


def unit_views(images: int, views: int, dim: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(images, 1, dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(images, views, dim, generator=generator, dtype=torch.float64)
    return F.normalize(centers + noise, dim=-1)


def two_draws(dim: int, count: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(draw_features(KERNELS["imq"], dim, count, generator=generator) for _ in range(2))


@settings(max_examples=25, deadline=None)
@given(**BATCHES)
def test_equals_the_quadratic_twin_for_the_same_draws(images, views, dim, scale, gamma, seed):
    z = unit_views(images, views, dim, seed)
    draws = two_draws(dim, 64, seed)
    scale = torch.tensor(scale, dtype=torch.float64)
    kernels = []
    for draw in draws:
        features = draw.at(scale)(z.flatten(0, 1)).numpy()
        kernels.append(features @ features.T)
    zy = reference.hsic_zy(kernels[0], images, views)
    for regularizer, zz in (
        ("biased", reference.hsic_zz(*kernels)),
        ("debiased", reference.hsic_zz_unbiased(*kernels, images, views)),
    ):
        loss, terms = ssl_hsic_loss(z, draws, scale, gamma=gamma, regularizer=regularizer)
        assert terms.zy.item() == pytest.approx(zy, abs=1e-10)
        assert terms.zz.item() == pytest.approx(zz, abs=1e-10)
        assert loss.item() == pytest.approx(-zy + gamma * math.sqrt(max(zz, 1e-12)), abs=1e-8)


def test_mean_over_draws_is_the_exact_kernel_quantity():
    """Two independent draws make both terms unbiased; one draw used twice would make HSIC(Z,Z) too large."""
    z = unit_views(24, 2, 8)
    exact = reference.imq(z.flatten(0, 1).numpy(), 1.0)
    expected = torch.tensor([reference.hsic_zy(exact, 24, 2), reference.hsic_zz(exact, exact)], dtype=torch.float64)
    found = torch.stack(
        [
            torch.stack(ssl_hsic_loss(z, two_draws(8, 128, seed), torch.tensor(1.0).double())[1][:2])
            for seed in range(1500)
        ]
    )
    error = found.std(dim=0) / len(found) ** 0.5
    assert ((found.mean(dim=0) - expected).abs() < 4 * error).all()
    assert (4 * error < 0.1 * expected).all()  # the check has the power to see a bias of a tenth


def test_hsic_zy_is_positive_pairs_minus_all_pairs():
    z = unit_views(10, 3, 6)
    kernel = reference.imq(z.flatten(0, 1).numpy(), 1.0)
    blocks = kernel.reshape(10, 3, 10, 3)
    positive = np.mean([blocks[i, p, i, q] for i in range(10) for p in range(3) for q in range(3) if p != q])
    assert reference.hsic_zy(kernel, 10, 3) == pytest.approx(positive - kernel.mean(), abs=1e-12)


def test_gradient_is_that_of_finite_differences():
    z = unit_views(5, 2, 4).requires_grad_()
    draws = two_draws(4, 32)
    for regularizer in ("biased", "debiased"):
        assert torch.autograd.gradcheck(
            lambda z, r=regularizer: ssl_hsic_loss(z, draws, torch.tensor(1.0).double(), regularizer=r)[0], z
        )


def test_all_views_share_one_draw():
    """Views that are equal have k = 1, so HSIC(Z,Y) = 1 − mean k; a draw for each view would break that."""
    z = F.normalize(torch.randn(64, 16), dim=-1)
    _, scalars = SSLHSICLoss(num_features=4096, estimator="features", low_noise=False)([z, z])
    kernel = reference.imq(z.double().numpy(), 1.0)
    assert scalars["hsic_zy"].item() == pytest.approx(1 - kernel.mean(), abs=0.06)


@pytest.mark.parametrize("low_noise", [False, True])
def test_draws_are_independent(low_noise):
    criterion = SSLHSICLoss(num_features=64, estimator="features", draws=2, low_noise=low_noise)
    draws = criterion.draw([torch.randn(4, 8)] * 2)
    assert len(draws) == 4
    for first, second in combinations(draws, 2):
        assert not torch.equal(first.weight, second.weight)
        assert low_noise or not torch.equal(first.phase, second.phase)


def test_redraws_at_every_call_and_continues_from_its_state():
    views = [torch.randn(16, 8), torch.randn(16, 8)]
    criterion = SSLHSICLoss(num_features=32, estimator="features")
    values = [criterion(views)[0].item() for _ in range(4)]
    assert len(set(values)) == 4
    fresh, resumed = (SSLHSICLoss(num_features=32, estimator="features") for _ in range(2))
    fresh(views)
    fresh(views)
    resumed.load_state_dict(fresh.state_dict())
    assert [resumed(views)[0].item() for _ in range(2)] == values[2:]


def test_own_generator_decides_the_draws():
    views = [torch.randn(16, 8), torch.randn(16, 8)]
    values = [
        SSLHSICLoss(generator=torch.Generator().manual_seed(seed), estimator="features")(views)[0].item()
        for seed in (3, 3, 4)
    ]
    assert values[0] == values[1] != values[2]


CASES = {
    "collapsed": torch.ones(8, 4),
    "duplicated": torch.randn(1, 4).repeat(8, 1),
    "one image": torch.randn(1, 4),
    "two images": torch.randn(2, 4),
    "three images": torch.randn(3, 4),
    "huge": torch.randn(8, 4) * 1e30,
    "tiny": torch.randn(8, 4) * 1e-20,
    "zero": torch.zeros(8, 4),
    "some zero": torch.cat([torch.zeros(2, 4), torch.randn(6, 4)]),
}


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("regularizer", ["biased", "debiased"])
@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("form", sorted(FORMS))
def test_degenerate_batches_have_finite_loss_and_gradient(form, case, regularizer, kernel):
    view = CASES[case].clone().requires_grad_()
    criterion = SSLHSICLoss(num_features=64, regularizer=regularizer, kernel=kernel, **FORMS[form])
    loss, scalars = criterion([view, view * 1.0])
    loss.backward()
    assert loss.isfinite()
    assert all(value.isfinite() for value in scalars.values())
    assert view.grad is not None
    assert view.grad.isfinite().all()
    if kernel != "linear":
        assert criterion.kernel_scale.grad.isfinite()


@pytest.mark.parametrize("form", sorted(FORMS))
def test_norms_of_the_embeddings_do_not_matter(form):
    views = [torch.randn(16, 8) for _ in range(2)]
    plain, scaled = (SSLHSICLoss(**FORMS[form])([view * norm for view in views])[0] for norm in (1, 1e25))
    assert plain.item() == pytest.approx(scaled.item(), rel=1e-4)


def test_debiased_regularizer_has_the_mean_of_large_batches():
    """Over many batches of 64 the debiased HSIC(Z,Z) averages to its value at 4096; the biased one is far above."""
    draws = two_draws(8, 64)
    scale = torch.tensor(1.0).double()

    def zz(images, seed, regularizer):
        return ssl_hsic_loss(unit_views(images, 2, 8, seed), draws, scale, regularizer=regularizer)[1].zz.item()

    seeds = range(1000, 1400)
    debiased = np.array([zz(64, seed, "debiased") for seed in seeds])
    biased = np.array([zz(64, seed, "biased") for seed in seeds])
    large = np.array([zz(4096, seed, "debiased") for seed in range(8)])
    error = np.hypot(debiased.std() / 20, large.std() / 8**0.5)
    assert abs(debiased.mean() - large.mean()) < 4 * error
    assert biased.mean() - large.mean() > 20 * error


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("low_noise", [False, True])
def test_noise_is_the_deviation_over_draws(low_noise, draws):
    views = list(unit_views(32, 2, 8).float().unbind(1))
    criterion = SSLHSICLoss(num_features=64, estimator="features", low_noise=low_noise, draws=draws)
    scalars = [criterion(views)[1] for _ in range(600)]
    values, noise = (torch.stack([scalar[name] for scalar in scalars]) for name in ("hsic_zy", "hsic_zy_noise"))
    assert noise.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.15)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_detached_views_get_no_gradient_and_the_others_do(form):
    online, target = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)
    SSLHSICLoss(**FORMS[form])([online, target.detach()])[0].backward()
    assert online.grad is not None
    assert online.grad.abs().sum() > 0
    assert target.grad is None


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_computes_in_float32_under_autocast(dtype, form):
    views = [torch.randn(32, 16), torch.randn(32, 16)]
    plain, _ = SSLHSICLoss(**FORMS[form])(views)
    with torch.autocast("cpu", dtype):
        cast, _ = SSLHSICLoss(**FORMS[form])(views)
    assert cast.dtype == torch.float32
    assert cast.item() == plain.item()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler's own look
def test_a_compiled_training_step_draws_anew_and_has_the_same_loss():
    network, plain, compiled = torch.nn.Linear(6, 4), *(SSLHSICLoss(estimator="features") for _ in range(2))
    views = [torch.randn(8, 6) for _ in range(2)]

    def step(criterion):
        return criterion([network(view) for view in views])[0]

    run = torch.compile(lambda: step(compiled), backend="eager")
    values = [run().item() for _ in range(2)]
    assert values[0] != values[1]
    assert values == pytest.approx([step(plain).item() for _ in range(2)], abs=1e-6)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_order_of_views_does_not_matter(form):
    views = [torch.randn(16, 8) for _ in range(3)]
    forward, backward = (SSLHSICLoss(**FORMS[form])(order)[0] for order in (views, views[::-1]))
    assert forward.item() == pytest.approx(backward.item(), abs=1e-6)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_learns_to_tell_images_apart(form):
    """Free embeddings that start at random end with their views together and the images apart."""
    torch.manual_seed(0)
    views = torch.nn.Parameter(torch.randn(2, 12, 6))
    criterion, optimizer = SSLHSICLoss(**FORMS[form]), torch.optim.Adam([views], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        criterion(list(views))[0].backward()
        optimizer.step()
    first, second = F.normalize(views.detach(), dim=-1)
    similarity = first @ second.T
    assert (similarity.argmax(dim=1) == torch.arange(12)).all()
    assert similarity.diagonal().mean() > 0.9


def test_time_and_memory_grow_with_rows_not_pairs():
    """Nothing of size rows × rows is kept for the backward pass."""
    largest = 0

    def note(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    views = [torch.randn(4096, 8, requires_grad=True) for _ in range(2)]
    criterion = SSLHSICLoss(num_features=16, learn_scale=False, estimator="features")
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        criterion(views)
    assert largest <= 2 * 4096 * 16


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_can_be_pickled(kernel):
    criterion = SSLHSICLoss(kernel=kernel)
    again = pickle.loads(pickle.dumps(criterion))
    views = [torch.randn(6, 4) for _ in range(2)]
    assert torch.equal(again(views)[0], criterion(views)[0])
