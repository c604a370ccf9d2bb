import accelerate
import pytest
from accelerate import tracking
from accelerate.utils import DistributedType

from sslhsic_transfer.errors import ConfigError, MissingDependencyError
from sslhsic_transfer.training.accelerator import build_accelerator


@pytest.mark.parametrize(("precision", "theirs"), [("fp32", "no"), ("bf16", "bf16")])
def test_precision_is_passed_on(tmp_path, precision, theirs):
    accelerator = build_accelerator(precision, ["tensorboard"], tmp_path)
    assert accelerator.mixed_precision == theirs
    assert accelerator.num_processes == 1


def test_the_launchers_precision_changes_nothing(tmp_path, monkeypatch):
    """`accelerate launch --mixed_precision fp16` sets this variable."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert build_accelerator("bf16", [], tmp_path).mixed_precision == "bf16"


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


def test_half_precision_on_a_cpu_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        build_accelerator("fp16", [], tmp_path)


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM])
def test_launches_that_split_the_networks_are_refused(tmp_path, monkeypatch, kind):
    """Accelerate takes none of them up on a CPU, so what it would say on GPUs is put in its mouth."""
    monkeypatch.setattr(accelerate.Accelerator, "distributed_type", kind)
    with pytest.raises(ConfigError, match=f"set up for {kind.value}.*--multi_gpu"):
        build_accelerator("bf16", [], tmp_path)
