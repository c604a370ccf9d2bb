"""A Hub on the loopback interface and a client that uses it (`hub`, `waits`), a model it holds, a model to publish."""

from pathlib import Path

import pytest

from sslhsic_transfer.hub.config_file import read_config, write_config
from sslhsic_transfer.results import new_result, save_results
from tests.hub_server.fixture import hub, waits

__all__ = ["hub", "waits"]

REPO = "tester/tiny"
FACTS = {
    "licence": "mit",
    "trained_by": "the tests",
    "objective": "ssl-hsic",
    "data": "Sign digits",
    "pictures": 1653,
    "epochs": 2,
    "hardware": "one CPU",
    "hours": 0.05,
}


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a model, by name."""
    return {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}


@pytest.fixture
def repo(hub, model_folder: Path) -> str:
    """The id of the commit that holds the model, in `REPO`."""
    return hub.add(REPO, {**contents(model_folder), "README.md": b"# Tiny", "big.bin": bytes(1000)})


@pytest.fixture
def publishable(own_model: Path) -> Path:
    """A model folder with all that its card must say."""
    config = read_config(own_model)
    write_config(own_model / "config.json", config.model_copy(update={"metadata": dict(FACTS)}))
    common = {"task": "knn", "dataset": "digits", "split": "test", "metric": "top-1", "n": 409}
    sha256 = config.fingerprint.sha256
    save_results(
        own_model / "results.json",
        [
            new_result(model="raw pixels", protocol="weighted k-NN, k=20; 16 × 16 RGB", value=0.748, **common),
            new_result(
                model="run/model/", protocol="weighted k-NN, k=20; 64 px", value=0.888, weights_sha256=sha256, **common
            ),
        ],
    )
    return own_model
