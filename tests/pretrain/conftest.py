import pytest
from accelerate.state import AcceleratorState

from sslhsic_transfer.pretrain import Recipe, load_recipe, pretrain
from sslhsic_transfer.training.run_folder import RunFolder

TINY = (
    "augmentation.size=32",
    "augmentation.blur_taps=3",
    "head.hidden_dim=32",
    "head.embedding_dim=16",
    "loss.estimator=features",  # whose draws a run must take up
    "loss.num_features=32",
    "batch_size=16",
    "epochs=2",
    "optimizer.warmup_epochs=1",
    "workers=1",
    "monitor.log_every=1",
    "monitor.evaluate_every=1",
    "average_decay=null",
)


@pytest.fixture(scope="session")
def tiny_overrides() -> tuple[str, ...]:
    """Overrides of demo.yaml that make a run of seconds."""
    return TINY


@pytest.fixture(scope="session")
def tiny(tiny_overrides) -> Recipe:
    return load_recipe("demo", tiny_overrides)


@pytest.fixture(autouse=True)
def own_precision():
    """Reset Accelerate's state: it keeps one precision per process, and each test starts as a new process would."""
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    """A finished run: 72 pictures, batches of 16, two epochs, nine steps."""
    output = tmp_path_factory.mktemp("run") / "run"
    pretrain(tiny, digits, output, progress=False)
    return output


def figures(output):
    """metrics.jsonl without what depends on the machine."""
    records = RunFolder(output).read_metrics()
    machine = {"images_per_second", "hours_left", "memory_gib"}
    return [{key: value for key, value in record.items() if key not in machine} for record in records]
