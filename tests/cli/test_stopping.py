"""Ctrl-C and SIGTERM at any moment: no traceback, and what is saved is said."""

import os
import signal
import subprocess
import sys

import pytest

from sslhsic_transfer.cli import stopping
from sslhsic_transfer.cli.stopping import Signals
from sslhsic_transfer.embed import parts
from sslhsic_transfer.embed.formats import parquet  # noqa: F401 (stop_in looks it up)

# A signal comes when a module is first imported, inside its import.
AT_IMPORT = """
import importlib.abc, signal, sys

module, number, *arguments = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background inherits it ignored

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == module and not getattr(self, "sent", False):
            self.sent = True
            signal.raise_signal(int(number))

sys.meta_path.insert(0, Finder())
from sslhsic_transfer.cli import main
sys.argv[:] = ["sslhsic", *arguments]
main()
"""


@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("typer", signal.SIGINT),
        ("sslhsic_transfer.cli.reporting", signal.SIGTERM),
        ("sslhsic_transfer.embed.files", signal.SIGINT),
        ("numpy", signal.SIGINT),
        ("numpy.linalg", signal.SIGTERM),
        ("torch.nn", signal.SIGINT),
        ("pyarrow.parquet", signal.SIGTERM),
    ],
)
def test_while_modules_are_imported(module, number, tmp_path):
    command = [sys.executable, "-c", AT_IMPORT, module, str(int(number)), "embed", "sslhsic-r18", ".", "--output"]
    done = subprocess.run(
        [*command, "out.parquet"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"Stopped by {number.name}."), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.fixture
def stop_in(monkeypatch):
    """Send a signal in place of the given call of a function."""

    def arrange(name, number=signal.SIGINT, call=0):
        calls = iter(range(1000))
        module, _, attribute = name.rpartition(".")
        original = getattr(sys.modules[module], attribute)

        def signalled(*arguments, **options):
            if next(calls) == call:
                signal.raise_signal(number)
            return original(*arguments, **options)

        monkeypatch.setattr(name, signalled)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    yield arrange
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("place", "call", "saved"),
    [
        ("sslhsic_transfer.embed.files._names", 0, "No rows are saved yet."),
        ("sslhsic_transfer.embed.part_files.atomic_path", 1, "16 pictures are done and saved in out.parquet.parts"),
        ("sslhsic_transfer.embed.formats.parquet.atomic_path", 0, "24 pictures are done and saved in out.parquet."),
    ],
)
def test_an_embedding_job_says_what_is_saved(
    sslhsic_here, model_folder, digits, tmp_path, monkeypatch, stop_in, number, place, call, saved
):
    monkeypatch.setattr(parts, "_PART_ROWS", 8)
    command = ("embed", model_folder, digits / "test", "--output", "out.parquet", "--workers", 0, "--batch-size", 8)
    with monkeypatch.context() as here:
        here.setattr(sys, "stderr", sys.stderr)
        stop_in(place, number, call)
        done = sslhsic_here(*command, check=False)
    assert done.returncode == 128 + number
    assert f"Stopped by {number.name}. {saved}" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"out.parquet.parts"}
    sslhsic_here(*command)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_probe_says_that_nothing_was_recorded(sslhsic_here, model_folder, digits, tmp_path, stop_in):
    import sslhsic_transfer.evaluate.probe  # noqa: F401 (stop_in looks it up)

    stop_in("sslhsic_transfer.evaluate.probe.knn_accuracy")
    folders = ("--train", digits / "train", "--test", digits / "test", "--workers", 0)
    done = sslhsic_here("evaluate", "knn", model_folder, *folders, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("Stopped by SIGINT. No record was added to results.json.\n")
    assert not list(tmp_path.iterdir())


def test_a_second_signal_at_once_is_the_same_request(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Signals() as signals:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(stopping, "_SAME_REQUEST_SECONDS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert signals.received is signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)
