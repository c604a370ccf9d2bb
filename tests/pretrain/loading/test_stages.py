import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslhsic_transfer.pretrain import Recipe
from sslhsic_transfer.pretrain.loading.stages import view_stages
from sslhsic_transfer.pretrain.sections import AugmentationSettings


def stages(steps, *progressive, pictures=100, batch_size=10):
    recipe = Recipe(batch_size=batch_size, augmentation=AugmentationSettings(size=96, progressive=progressive))
    return [(part, views.size) for part, views in view_stages(steps, recipe, pictures)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (range(50), [(range(20), 48), (range(20, 35), 64), (range(35, 50), 96)]),
        (range(19, 21), [(range(19, 20), 48), (range(20, 21), 64)]),
        (range(20, 35), [(range(20, 35), 64)]),
        (range(35, 50), [(range(35, 50), 96)]),
        (range(3, 3), []),
    ],
)
def test_sizes_follow_the_epochs_wherever_a_run_goes_on(steps, expected):
    assert stages(steps, (2, 48), (3.5, 64)) == expected


def test_without_stages_there_is_one_size():
    assert stages(range(7)) == [(range(7), 96)]


@given(pictures=st.integers(10, 300), batch_size=st.integers(2, 40), until=st.integers(1, 4), stop=st.integers(1, 200))
def test_a_step_has_the_size_of_the_epoch_in_which_it_begins(pictures, batch_size, until, stop):
    found = [
        size for part, size in stages(range(stop), (until, 48), pictures=pictures, batch_size=batch_size) for _ in part
    ]
    assert found == [48 if step * batch_size < until * pictures else 96 for step in range(stop)]
