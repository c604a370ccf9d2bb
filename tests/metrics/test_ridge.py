import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import LeaveOneOut
from sklearn.preprocessing import StandardScaler

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.metrics.ridge import ridge_accuracy


def clusters(rows: int, dim: int, classes: int = 3, spread: float = 1.5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(7))
    return centers[labels] + spread * torch.randn(rows, dim, generator=generator), labels


@pytest.mark.parametrize(("rows", "dim"), [(40, 6), (24, 60)], ids=["tall", "wide"])
@pytest.mark.parametrize("penalty", [1e-2, 1.0])
def test_leave_one_out_equals_fitting_without_each_row(rows, dim, penalty):
    values, labels = clusters(rows, dim)
    x = StandardScaler().fit_transform(values.numpy().astype(np.float64))
    targets = np.eye(3)[labels.numpy()]
    hits = 0
    for fit, (held_out,) in LeaveOneOut().split(x):
        model = Ridge(alpha=penalty * rows).fit(x[fit], targets[fit])
        hits += int(model.predict(x[[held_out]]).argmax() == labels[held_out])
    assert ridge_accuracy(values, labels, penalties=(penalty,)) == pytest.approx(hits / rows)


@pytest.mark.parametrize(("rows", "dim"), [(60, 8), (30, 80)], ids=["tall", "wide"])
def test_queries_are_classified_as_scikit_learn_does(rows, dim):
    values, labels = clusters(rows, dim)
    queries, truth = clusters(50, dim, seed=1)
    scaler = StandardScaler().fit(values.numpy().astype(np.float64))
    model = RidgeClassifier(alpha=0.1 * rows).fit(scaler.transform(values.numpy()), labels.numpy())
    expected = model.score(scaler.transform(queries.numpy()), truth.numpy())
    assert ridge_accuracy(values, labels, queries, truth, penalties=(0.1,)) == pytest.approx(expected, abs=1e-6)


def test_the_penalty_is_chosen_without_looking_at_the_queries():
    values, labels = clusters(30, 60, spread=4.0)
    queries, truth = clusters(50, 60, spread=4.0, seed=1)
    chosen = ridge_accuracy(values, labels, queries, truth)
    held_out = {penalty: ridge_accuracy(values, labels, penalties=(penalty,)) for penalty in (1e-4, 1e-2, 1.0, 100.0)}
    assert ridge_accuracy(values, labels) >= max(held_out.values())
    assert 0.33 < chosen <= 1


def test_constant_and_repeated_columns_do_no_harm():
    values, labels = clusters(40, 6)
    more = torch.cat([values, torch.ones(40, 2), values], dim=1)
    assert ridge_accuracy(more, labels) > 0.5
    assert ridge_accuracy(torch.ones(6, 3), torch.tensor([0, 0, 0, 0, 1, 1])) == pytest.approx(4 / 6)


def test_shapes_that_do_not_fit_are_refused():
    values, labels = clusters(6, 4)
    with pytest.raises(InputError, match=r"shape \(6, 4\) and 5 labels"):
        ridge_accuracy(values, labels[:5])
    with pytest.raises(InputError, match="at least 2"):
        ridge_accuracy(values[:1], labels[:1])


def test_labels_that_were_forgotten():
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    with pytest.raises(InputError, match="Got one of test and test_labels"):
        ridge_accuracy(x, y, x)
