import pytest

from sslhsic_transfer.pretrain.export import _hours
from sslhsic_transfer.training.run_folder import RunFolder


def test_hours_are_all_steps_by_the_speed_that_was_logged(tmp_path):
    """10 steps of 100 pictures at 50 a second, 20 more at 25: 20 s and 80 s; an evaluation counts for nothing."""
    folder = RunFolder(tmp_path)
    for record in ({"step": 10, "loss": 1.0, "images_per_second": 50.0}, {"step": 10, "knn": 0.5}):
        folder.log(record)
    folder.log({"step": 30, "loss": 1.0, "images_per_second": 25.0})
    assert _hours(folder, 100) == pytest.approx(100 / 3600)
