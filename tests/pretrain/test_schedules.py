import pytest

from sslhsic_transfer.pretrain.schedules import average_weight, learning_rate, target_decay, warmup_steps


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


@pytest.mark.parametrize(
    ("epochs", "pictures", "batch_size", "expected"),
    [(10, 1_281_167, 4096, 3127), (1, 72, 16, 4), (0.5, 1000, 100, 5), (2, 100, 100, 2), (0, 100, 10, 0)],
)
def test_a_warmup_is_whole_steps_of_what_its_epochs_hold(epochs, pictures, batch_size, expected):
    """ImageNet's ten epochs are 3,127.85 steps of 4,096, of which the released code takes 3,127."""
    assert warmup_steps(epochs, pictures=pictures, batch_size=batch_size) == expected


def test_no_warmup_starts_at_the_peak():
    assert learning_rate(0, peak=2.0, warmup_steps=0, total_steps=10) == 2.0


@pytest.mark.parametrize(
    ("step", "start", "expected"),
    [
        (0, 0.99, 0.99),
        (78_196, 0.99, 0.991464466094),  # 1 − 0.01·(1 + √½)/2
        (156_392, 0.99, 0.995),
        (312_784, 0.99, 1.0),
        (0, 0.996, 0.996),
        (78_196, 0.996, 0.996585786438),
        (156_392, 0.996, 0.998),
        (312_784, 0.996, 1.0),
        (400_000, 0.99, 1.0),
    ],
)
def test_target_decay_rises_to_one_on_a_cosine(step, start, expected):
    assert target_decay(step, start=start, total_steps=312_784) == pytest.approx(expected, abs=1e-12)


def test_average_weight_is_the_debiased_one():
    """d = ½ on the values 1, 2, 3: 1; (½·1 + 2)/1.5; (¼·1 + ½·2 + 3)/1.75."""
    average, found = 0.0, []
    for step, value in enumerate([1.0, 2.0, 3.0], start=1):
        average += average_weight(step, decay=0.5) * (value - average)
        found.append(average)
    assert found == pytest.approx([1.0, 2.5 / 1.5, 4.25 / 1.75])
