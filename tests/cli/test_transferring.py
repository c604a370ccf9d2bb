import pytest

from tests.dense_data import depth_lists, segmentation_lists

QUICK = ("workers=0", "iterations=2", "warmup=1", "batch_size=2", "crop=[64,64]", "resize=64")


@pytest.mark.parametrize("task", ["segmentation", "detection", "depth"])
def test_help(sslhsic_here, task):
    shown = sslhsic_here("transfer", task, "--help").stdout
    assert "KEY=VALUE" in shown
    assert "--init" in shown


def test_a_fine_tune_and_its_taking_up(sslhsic_here, model_folder, tmp_path):
    data = segmentation_lists(tmp_path / "scenes")
    command = ("transfer", "segmentation", model_folder, "--data", data, "--output", "run", *QUICK)
    shown = sslhsic_here(*command).stdout
    assert "mIoU" in shown
    assert "Model: run/model/; figures: run/results.json; see run/predictions.png" in shown
    refused = sslhsic_here(*command, check=False)
    assert (refused.returncode, "error: run already holds a run" in refused.stderr) == (1, True)
    assert "mIoU" in sslhsic_here(*command, "--resume").stdout


def test_an_architecture_from_scratch(sslhsic_here, tmp_path):
    data = depth_lists(tmp_path / "scenes")
    command = ("transfer", "depth", "resnet18", "--init", "random", "--data", data, "--output", "run", *QUICK)
    shown = sslhsic_here(*command).stdout
    assert "random resnet18" in shown
    assert "abs_rel" in shown


def test_errors_are_one_message(sslhsic_here, model_folder, tmp_path):
    failed = sslhsic_here("transfer", "detection", model_folder, "--data", tmp_path, "--output", "run", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert "no split 'train' in any known layout" in failed.stderr


def test_a_start_that_came_to_nothing_is_no_run(sslhsic_here, model_folder, tmp_path):
    data = segmentation_lists(tmp_path / "scenes")
    command = ("transfer", "segmentation", model_folder, "--data", data, "--output", "run")
    failed = sslhsic_here(*command, *QUICK, "batch_size=400", check=False)
    assert "fewer than a batch of 400: lower batch_size" in failed.stderr
    assert "mIoU" in sslhsic_here(*command, *QUICK).stdout
