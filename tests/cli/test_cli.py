import json
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from sslhsic_transfer import __version__
from sslhsic_transfer.results import load_results

HEAVY = ("torch", "torchvision", "numpy", "pydantic", "accelerate", "pyarrow", "sslhsic_transfer.pretrain.loop")


def test_help_lists_the_commands_and_imports_none_of_their_work(sslhsic):
    shown = sslhsic("--help").stdout
    for command in ("pretrain", "plot", "embed", "evaluate", "models", "publish", "convert"):
        assert command in shown
    code = "import sys; import sslhsic_transfer.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(
    "command", [("pretrain",), ("plot",), ("embed",), ("evaluate",), ("evaluate", "knn"), ("evaluate", "linear")]
)
def test_every_command_has_help(sslhsic_here, command):
    assert "Usage" in sslhsic_here(*command, "--help").stdout


def test_help_answers_at_once(sslhsic):
    """Half a second is promised; what is tested is a bound that only an import of torch would break."""
    start = time.perf_counter()
    sslhsic("--help")
    assert time.perf_counter() - start < 2.5


def test_version(sslhsic):
    assert sslhsic("--version").stdout.strip() == __version__


def test_from_pictures_to_results_by_commands_alone(sslhsic, digits, tmp_path):
    small = ["epochs=1", "batch_size=16", "augmentation.size=32", "head.hidden_dim=32", "workers=1"]
    small += ["optimizer.warmup_epochs=0"]
    done = sslhsic("pretrain", "demo", *small, "--data", digits, "--output", "run")
    assert "Model: run/model/\n" in done.stdout
    assert "pretrain: 100%" in done.stderr
    for figure in ("loss=", "HSIC(Z,Y)=", "√HSIC(Z,Z)=", "lr=", "img/s=", "k-NN="):
        assert figure in done.stderr

    done = sslhsic("embed", "run/model/", digits / "test", "--output", "out.parquet")
    assert "out.parquet: 24 pictures, 512 numbers each." in done.stdout
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 24

    folders = ["--train", digits / "train", "--test", digits / "test"]
    done = sslhsic("evaluate", "knn", "run/model/", *folders, "--floors", "--k", "5")
    for text in ("raw pixels", "untrained resnet18", "run/model", "k-NN", "n = 24"):
        assert text in done.stdout
    sslhsic("evaluate", "linear", "run/model/", *folders, "--val", digits / "test", "--output", "results.json")
    results = load_results(tmp_path / "results.json")
    assert [(result.model, result.task) for result in results] == [
        ("raw pixels", "knn"),
        ("untrained resnet18", "knn"),
        ("run/model/", "knn"),
        ("run/model/", "linear"),
    ]
    model = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert results[-1].weights_sha256 == model["fingerprint"]["sha256"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("pretrain", "imagenet", "--data", ".", "--output", "run"), "There is no recipe 'imagenet'"),
        (("pretrain", "demo", "epoch=3", "--data", ".", "--output", "run"), "epoch: no such setting"),
        (("pretrain", "demo", "--data", "nowhere", "--output", "run"), "nowhere is not a folder"),
        (("embed", "sslhsic-r17", ".", "--output", "out.parquet"), "Did you mean sslhsic-r18"),
        (("evaluate", "knn", "nowhere", "--train", ".", "--test", "."), "has no classes"),
    ],
)
def test_mistakes_give_one_message_and_no_traceback(sslhsic_here, tmp_path, arguments, found):
    (tmp_path / "a.jpg").write_bytes(b"")
    done = sslhsic_here(*arguments, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert found in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out.parquet").exists()
