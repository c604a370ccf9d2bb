import math

import pytest
import torch

from sslhsic_transfer.adapters.depth import berhu, gradient_matching, scale_invariant_log
from sslhsic_transfer.errors import InputError

LOSSES = [berhu, scale_invariant_log, gradient_matching]


def picture(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


EVERYWHERE = torch.ones(1, 1, 1, 3, dtype=torch.bool)


def test_berhu_by_hand():
    """Errors 1, 4, 10: c = 2; 1, (16 + 4) / 4, (100 + 4) / 4."""
    loss = berhu(picture(1, 4, 10), picture(0, 0, 0), EVERYWHERE)
    assert loss.item() == pytest.approx((1 + 5 + 26) / 3)


def test_berhus_bound_has_no_gradient():
    """c = 2, a constant: the slopes at errors 1, 4 and 10 are 1, 4 / 2 and 10 / 2."""
    prediction = picture(1, 4, 10).requires_grad_()
    berhu(prediction, picture(0, 0, 0), EVERYWHERE).backward()
    torch.testing.assert_close(prediction.grad, picture(1, 2, 5) / 3)


def test_berhu_is_continuous_where_it_changes():
    target = picture(0, 0, 0)
    below, above = (berhu(picture(10, 2 + e, 0), target, EVERYWHERE).item() for e in (-1e-9, 1e-9))
    assert below == pytest.approx(above, abs=1e-8)


def test_scale_invariant_log_by_hand():
    prediction, target = picture(1, math.e, 1), picture(1, 1, math.e)
    d = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    for focus in (0.0, 0.5, 1.0):
        expected = (d.square().mean() - focus * d.mean().square()).sqrt()
        assert scale_invariant_log(prediction, target, EVERYWHERE, variance_focus=focus).item() == pytest.approx(
            expected.item()
        )


def test_a_wrong_scale_costs_nothing_when_only_the_variance_counts():
    target = torch.rand(2, 1, 8, 8, dtype=torch.float64) + 1
    everywhere = torch.ones_like(target, dtype=torch.bool)
    assert scale_invariant_log(7 * target, target, everywhere, variance_focus=1.0) < 1e-6
    assert scale_invariant_log(7 * target, target, everywhere, variance_focus=0.0).item() == pytest.approx(math.log(7))


def test_gradient_matching_by_hand():
    """Error 0, 1, 3: differences 1 and 2; at step 2: 0, 3: difference 3."""
    loss = gradient_matching(picture(0, 1, 3), picture(0, 0, 0), EVERYWHERE, scales=2)
    assert loss.item() == pytest.approx((1 + 2) / 2 + 3)
    assert gradient_matching(picture(5, 5, 5), picture(0, 0, 0), EVERYWHERE).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_what_was_not_measured_has_no_part(loss):
    torch.manual_seed(0)
    target = torch.rand(2, 1, 8, 8) + 1
    prediction = (torch.rand(2, 1, 8, 8) + 1).requires_grad_()
    valid = torch.rand(2, 1, 8, 8) > 0.5
    value = loss(prediction, target, valid)
    value.backward()
    assert not prediction.grad[~valid].any()
    assert prediction.grad[valid].any()
    elsewhere = torch.where(valid, target, torch.nan)
    assert loss(prediction, elsewhere, valid).item() == pytest.approx(value.item())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_is_over_what_was_measured(loss):
    prediction, target, valid = picture(1, 4, 10), picture(1, 1, 1), EVERYWHERE.clone()
    valid[..., 2] = False
    part = loss(prediction[..., :2], target[..., :2], EVERYWHERE[..., :2])
    assert loss(prediction, target, valid).item() == pytest.approx(part.item())


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_measured_is_zero_with_a_gradient(loss):
    prediction = torch.rand(1, 1, 4, 4, requires_grad=True)
    value = loss(prediction, torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not prediction.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_prediction_has_a_finite_gradient(loss):
    target = torch.rand(1, 1, 4, 4) + 1
    prediction = target.clone().requires_grad_()
    loss(prediction, target, torch.ones_like(target, dtype=torch.bool)).backward()
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("loss", [berhu, gradient_matching])
def test_other_shapes_are_refused(loss):
    with pytest.raises(InputError, match="expected one shape"):
        loss(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 5), torch.ones(1, 1, 4, 4, dtype=torch.bool))
