import pytest
import torch
from torch.nn.functional import cross_entropy

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.metrics.linear import _fit, linear_probe


def blobs(rows: int, seed: int, spread: float = 1.0, dim: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    centers = torch.randn(3, dim, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(rows) % 3
    return centers[labels] + spread * torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), labels


def test_separable_classes_are_learned_whatever_their_scale():
    train, test = blobs(300, 1, 0.3), blobs(90, 2, 0.3)
    assert linear_probe(*train, *test).accuracy > 0.97
    shift = 1000 + 1e-3 * train[0], train[1], 1000 + 1e-3 * test[0], test[1]
    assert linear_probe(*shift).accuracy > 0.97


def test_noise_stays_at_chance():
    noise = torch.randn(600, 10, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 3
    found = linear_probe(noise[0][:300], noise[1][:300], noise[0][300:], noise[1][300:])
    assert found.accuracy == pytest.approx(1 / 3, abs=0.1)


def test_penalty_is_chosen_on_validation_alone():
    """Labels of the test set that are all wrong change the accuracy, not the choice."""
    train, test, validation = blobs(60, 1, 2.0, dim=40), blobs(90, 2, 2.0, dim=40), blobs(90, 3, 2.0, dim=40)
    right = linear_probe(*train, *test, validation=validation)
    wrong = linear_probe(*train, test[0], (test[1] + 1) % 3, validation=validation)
    assert right.penalty == wrong.penalty
    assert right.accuracy > wrong.accuracy
    assert right.validation_accuracy[right.penalty] == max(right.validation_accuracy.values())


def test_refit_uses_training_and_validation_rows():
    """A class that only validation shows can be predicted in the test."""
    train, test = blobs(60, 1, 0.2), blobs(90, 2, 0.2)
    two = train[1] < 2
    probe = linear_probe(train[0][two], train[1][two], *test, validation=train, penalties=(0.01,))
    assert probe.accuracy > 0.95


def test_the_same_seed_gives_the_same_figure():
    train, test = blobs(100, 1, 2.0), blobs(90, 2, 2.0)
    found = [linear_probe(*train, *test, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0].validation_accuracy != found[2].validation_accuracy, "another seed sets others aside"


def test_the_penalty_weighs_against_the_mean_loss():
    """Half the squared weights times the penalty: the gradient of both together is zero at the fit."""
    x, y = blobs(60, 1, 2.0)
    scaler, classifier = _fit(x.numpy(), y.numpy(), penalty=0.3, max_iterations=500)
    w, b = (torch.from_numpy(values).requires_grad_() for values in (classifier.coef_, classifier.intercept_))
    z = torch.from_numpy(scaler.transform(x.numpy())).to(w)
    (cross_entropy(z @ w.T + b, y) + 0.3 * w.square().sum() / 2).backward()
    assert w.grad.abs().max() < 1e-3


@pytest.mark.parametrize("two_classes", [True, False])
def test_two_classes_work_and_one_is_refused(two_classes):
    train, test = blobs(60, 1, 0.2), blobs(30, 2, 0.2)
    if two_classes:
        keep, keep_test = train[1] < 2, test[1] < 2
        assert linear_probe(train[0][keep], train[1][keep], test[0][keep_test], test[1][keep_test]).accuracy > 0.95
    else:
        with pytest.raises(InputError, match="one class"):
            linear_probe(train[0], torch.zeros(60), *test)


@pytest.mark.parametrize(("pictures", "classes"), [(1, 3), (3, 10), (2, 4)])
def test_too_few_rows_to_set_a_fifth_aside_are_told(pictures, classes):
    labels = torch.arange(classes).repeat(pictures)
    x = torch.randn(len(labels), 4)
    with pytest.raises(InputError, match=rf"of {classes} classes, {pictures} of the rarest.*--val"):
        linear_probe(x, labels, x, labels)
    linear_probe(x, labels, x, labels, validation=(x, labels))


def test_refuses_rows_without_labels():
    train, test = blobs(60, 1), blobs(30, 2)
    with pytest.raises(InputError, match=r"test embeddings of shape \(30, 10\) and 29 labels"):
        linear_probe(*train, test[0], test[1][1:])


def test_embeddings_may_still_have_a_gradient():
    x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    assert linear_probe(x.clone().requires_grad_(), y, x, y) == linear_probe(x, y, x, y)
