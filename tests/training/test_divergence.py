import pytest
import torch

from sslhsic_transfer.training.divergence import divergence

FINE = [torch.ones(2), torch.zeros(3, 3)]


@pytest.mark.parametrize("loss", [0.5, -1e30, None])
def test_finite_numbers_are_not_told_of(loss):
    assert divergence(loss, FINE, 7, "none") is None


@pytest.mark.parametrize(
    ("loss", "weights", "told"),
    [
        (float("nan"), FINE, "The loss is nan at step 7. Usual causes: a rate."),
        (float("inf"), FINE, "The loss is inf at step 7. Usual causes: a rate."),
        (
            0.5,
            [*FINE, torch.tensor([1.0, float("nan")])],
            "Weights are no longer finite at step 7. Usual causes: a rate.",
        ),
        (None, [torch.tensor(float("-inf")), *FINE], "Weights are no longer finite at step 7. Usual causes: a rate."),
    ],
)
def test_the_first_thing_that_is_not_finite_is_named(loss, weights, told):
    assert divergence(loss, weights, 7, "a rate") == told
