import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.metrics.knn import knn_accuracy, knn_predict
from tests.references import knn as reference


def clusters(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 4
    centers = torch.randn(4, 6, generator=generator)
    return centers[labels] + torch.randn(rows, 6, generator=generator), labels


@settings(max_examples=30, deadline=None)
@given(k=st.integers(1, 60), seed=st.integers(0, 100), chunk=st.integers(1, 40), temperature=st.floats(0.05, 2))
def test_equals_the_slow_twin(k, seed, chunk, temperature):
    bank, labels = clusters(50, seed)
    queries, _ = clusters(30, seed + 1)
    found = knn_predict(bank, labels, queries, k=k, chunk=chunk, temperature=temperature)
    expected = reference.knn_predict(
        bank.double().numpy(), labels.numpy(), queries.double().numpy(), k=min(k, 50), temperature=temperature
    )
    assert found.tolist() == expected


@pytest.mark.parametrize("chunk", [7, 100])
def test_without_queries_no_row_sees_itself(chunk):
    bank, labels = clusters(40, 0)
    found = knn_predict(bank, labels, k=5, chunk=chunk)
    for row in range(40):
        rest = np.delete(np.arange(40), row)
        (alone,) = reference.knn_predict(
            bank[rest].double().numpy(), labels[rest].numpy(), bank[row : row + 1].double().numpy(), 5, 0.07
        )
        assert found[row] == alone


def test_unlabelled_structure_scores_chance_and_structure_scores_high():
    bank, labels = clusters(400, 0)
    noise = torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    assert knn_accuracy(noise, labels) == pytest.approx(0.25, abs=0.08)
    assert knn_accuracy(bank * 3, labels, bank, labels) > 0.8


def test_any_scale_of_the_features_gives_the_same():
    bank, labels = clusters(60, 0)
    assert torch.equal(knn_predict(bank, labels), knn_predict(bank * 1e4, labels))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((torch.randn(5, 3), torch.zeros(4)), r"bank of \(5, 3\), 4 labels"),
        ((torch.randn(5, 3), torch.zeros(5), torch.randn(2, 4)), r"queries of \(2, 4\)"),
        ((torch.randn(0, 3), torch.zeros(0), torch.randn(2, 3)), "bank of 0 rows"),
        ((torch.randn(1, 3), torch.zeros(1)), "bank of 1 rows and k = 0"),
    ],
)
def test_refuses_what_does_not_fit(arguments, found):
    with pytest.raises(InputError, match=found):
        knn_predict(*arguments)
    with pytest.raises(InputError, match="2 queries and 3 query labels"):
        knn_accuracy(torch.randn(5, 3), torch.zeros(5), torch.randn(2, 3), torch.zeros(3))


def test_labels_that_were_forgotten():
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    with pytest.raises(InputError, match="Got one of queries and query_labels"):
        knn_accuracy(x, y, x)
