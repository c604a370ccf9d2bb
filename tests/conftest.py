"""Fixtures that several rooms share: small real pictures, a model folder, the command line as a real process."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sslhsic_transfer import Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer.sample import sign_digits

# Beside another worker each keeps to a processor of its own, and so do the processes that it starts: threads that wait
# for one another on a shared processor take several times as long.
_threads = 2
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    _processors = sorted(os.sched_getaffinity(0))
    _worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {_processors[_worker % len(_processors)]})
    _threads = 1
torch.set_num_threads(_threads)
os.environ["OMP_NUM_THREADS"] = str(_threads)  # for the processes that tests start


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # libraries under test draw from it
    if "torch" in sys.modules:  # a test of what happens before torch is imported takes it away
        torch.manual_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Draw the same numbers for fixtures on every run, whichever tests ran before."""
    _seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    """Draw the same numbers for a test whether or not its fixtures existed already; other numbers than theirs."""
    _seed(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Put the library's cache into a folder of the tests, in their child processes, too."""
    os.environ["SSLHSIC_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def own_accelerate_state():
    """Reset Accelerate's state: it keeps one precision per process, and a file of tests must not find another's."""
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Real data sets of several gigapixels, which do not travel with the repository."""
    root = Path(os.environ.get("SSLHSIC_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data at {root}: set SSLHSIC_DATA")
    return root


@pytest.fixture(scope="session")
def blood_cells() -> Path:
    """Twelve pictures of BCCD, train and val, in COCO's and VOC's layout."""
    return Path(__file__).parent / "pictures" / "bccd"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of the bundled pictures: train/ with 24 of each, test/ with 8 of each."""
    root = tmp_path_factory.mktemp("digits")
    for split, count in (("train", 24), ("test", 8)):
        for label in ("0", "1", "5"):
            (root / split / label).mkdir(parents=True)
            for path in sorted((sign_digits().root / split / label).iterdir())[:count]:
                shutil.copy(path, root / split / label)
    return root


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ResNet-18 with small preprocessing, saved."""
    torch.manual_seed(0)
    encoder = create_encoder("resnet18", preprocessing=Preprocessing.for_size(64))
    return encoder.save_pretrained(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def pretrained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of sslhsic-r18, with small preprocessing, saved."""
    encoder = from_pretrained("sslhsic-r18")
    encoder.preprocessing = Preprocessing.for_size(64)
    return encoder.save_pretrained(tmp_path_factory.mktemp("pretrained") / "model")


@pytest.fixture
def own_model(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture
def sslhsic(tmp_path: Path):
    """Run the installed command as a user does, in a process and a folder of its own."""

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "sslhsic"), *map(str, arguments)]
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment, check=False
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture
def sslhsic_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Run the command in this process, without importing torch anew: for the many ways to call it."""
    from sslhsic_transfer.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["sslhsic", *map(str, arguments)]
        capfd.readouterr()
        with monkeypatch.context() as here:
            here.chdir(tmp_path)
            here.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as stop:
                main()
        result = subprocess.CompletedProcess(command, int(stop.value.code or 0), *capfd.readouterr())
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture
def convolutions(monkeypatch):
    """The types that convolutions compute in while the test runs, by their mode: training, eval."""
    seen = {"training": set(), "eval": set()}
    forward = torch.nn.Conv2d.forward

    def watched(self, images):
        found = forward(self, images)
        seen["training" if self.training else "eval"].add(found.dtype)
        return found

    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    return seen
