import pytest

from sslhsic_transfer.pretrain.schedules import average_weight, learning_rate, target_decay


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1, 0.8), (5, 4.0), (10, 8.0), (35, 6.8284271), (60, 4.0), (110, 0.0), (200, 0.0)],
)
def test_learning_rate_warms_up_then_falls_on_a_cosine(step, expected):
    found = learning_rate(step, peak=8.0, warmup_steps=10, total_steps=110)
    assert found == pytest.approx(expected, abs=1e-6)


def test_no_warmup_starts_at_the_peak():
    assert learning_rate(0, peak=2.0, warmup_steps=0, total_steps=10) == 2.0


@pytest.mark.parametrize(("step", "expected"), [(0, 0.99), (25, 0.9914644661), (50, 0.995), (100, 1.0)])
def test_target_decay_rises_to_one(step, expected):
    assert target_decay(step, start=0.99, total_steps=100) == pytest.approx(expected, abs=1e-9)


def test_average_weight_is_the_debiased_one():
    """d = ½ on the values 1, 2, 3: 1; (½·1 + 2)/1.5; (¼·1 + ½·2 + 3)/1.75."""
    average, found = 0.0, []
    for step, value in enumerate([1.0, 2.0, 3.0], start=1):
        average += average_weight(step, decay=0.5) * (value - average)
        found.append(average)
    assert found == pytest.approx([1.0, 2.5 / 1.5, 4.25 / 1.75])
