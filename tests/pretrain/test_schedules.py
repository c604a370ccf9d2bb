import pytest

from sslhsic_transfer.pretrain.schedules import average_weight, target_decay, warmup_steps


@pytest.mark.parametrize(
    ("epochs", "pictures", "batch_size", "expected"),
    [(10, 1_281_167, 4096, 3127), (1, 72, 16, 4), (0.5, 1000, 100, 5), (2, 100, 100, 2), (0, 100, 10, 0)],
)
def test_a_warmup_is_whole_steps_of_what_its_epochs_hold(epochs, pictures, batch_size, expected):
    """ImageNet's ten epochs are 3,127.85 steps of 4,096, of which the released code takes 3,127."""
    assert warmup_steps(epochs, pictures=pictures, batch_size=batch_size) == expected


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
