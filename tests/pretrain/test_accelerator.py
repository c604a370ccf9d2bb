import pytest
from accelerate import tracking

from sslhsic_transfer.errors import ConfigError, MissingDependencyError
from sslhsic_transfer.pretrain.accelerator import build_accelerator


@pytest.mark.parametrize(("precision", "theirs"), [("fp32", "no"), ("bf16", "bf16")])
def test_precision_is_passed_on(tmp_path, precision, theirs):
    accelerator = build_accelerator(precision, ["tensorboard"], tmp_path)
    assert accelerator.mixed_precision == theirs
    assert accelerator.num_processes == 1


def test_a_second_precision_in_one_process_is_explained(tmp_path):
    build_accelerator("bf16", [], tmp_path)
    with pytest.raises(ConfigError, match="Start a new process"):
        build_accelerator("fp32", [], tmp_path)


def test_unknown_and_missing_trackers_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"'paper'.*tensorboard"):
        build_accelerator("bf16", ["paper"], tmp_path)
    missing = sorted(set(tracking.LOGGER_TYPE_TO_CLASS) - {str(name) for name in tracking.get_available_trackers()})
    with pytest.raises(MissingDependencyError, match=f"pip install {missing[0]}"):
        build_accelerator("bf16", [missing[0]], tmp_path)
