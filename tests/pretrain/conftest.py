import pytest
from accelerate.state import AcceleratorState

from sslhsic_transfer.pretrain import Recipe, load_recipe

TINY = (
    "augmentation.size=32",
    "augmentation.blur_taps=3",
    "head.hidden_dim=32",
    "head.embedding_dim=16",
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
    """Accelerate keeps one precision a process; each test starts as a new process would."""
    AcceleratorState._reset_state()
