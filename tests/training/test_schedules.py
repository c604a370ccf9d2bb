import math
from itertools import pairwise

import pytest

from sslhsic_transfer.training.schedules import learning_rate, learning_rate_share


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1, 0.8), (5, 4.0), (10, 8.0), (35, 6.8284271), (60, 4.0), (110, 0.0), (200, 0.0)],
)
def test_learning_rate_warms_up_then_falls_on_a_cosine(step, expected):
    found = learning_rate(step, peak=8.0, warmup_steps=10, total_steps=110)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (1, 6.4 / 3127),
        (3127, 6.4),
        (80_541.25, 5.462741700),  # a quarter of the way down: 6.4·(1 + √½)/2
        (157_955.5, 3.2),
        (235_369.75, 0.937258300),
        (312_784, 0.0),
    ],
)
def test_the_papers_learning_rate_at_its_own_steps(step, expected):
    """Batch 4096: peak 0.4·4096/256 after 10 epochs of 1,281,167 pictures, 3,127 steps; 0 after 312,784."""
    found = learning_rate(step, peak=6.4, warmup_steps=3127, total_steps=312_784)
    assert found == pytest.approx(expected, abs=1e-9)


def test_no_warmup_starts_at_the_peak():
    assert learning_rate(0, peak=2.0, warmup_steps=0, total_steps=10) == 2.0


def test_schedules():
    def shares(**settings):
        return [learning_rate_share(step, warmup=10, total_steps=100, **settings) for step in range(100)]

    cosine, poly, steps = (shares(schedule=name) for name in ("cosine", "poly", "steps"))
    for values in (cosine, poly, steps):
        assert values[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
        assert values[10] == 1
        assert all(a >= b for a, b in pairwise(values[10:]))
    assert cosine[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert poly[55] == pytest.approx(0.5**0.9)
    assert [steps[step] for step in (69, 70, 89, 90)] == [1, 0.1, 0.1, 0.01]
