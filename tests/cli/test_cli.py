import errno
import json
import re
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
    code = "import sys; import sslhsic_transfer.cli.app; print(*sys.modules)"
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("embed", "MODEL", "PICTURES", "--output", "file/out.parquet"),
            r"error: file.*: (Not a directory|File exists)",
        ),
        (("embed", "MODEL", "PICTURES", "--output", "folder.parquet", "--overwrite"), "error: .*is a folder; expected"),
        (("embed", "MODEL", "PICTURES", "--output", "o.parquet", "--device", "gpu"), "error: Got the device 'gpu'"),
        (
            ("embed", "MODEL", "PICTURES", "--output", "o.parquet", "--device", "cuda"),
            "finds no CUDA here; expected cpu",
        ),
        (
            ("evaluate", "knn", "MODEL", "--train", "PICTURES", "--test", "PICTURES", "--output", "file"),
            "is not a results",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_the_machine_refuses_is_one_message(sslhsic_here, model_folder, digits, tmp_path, arguments, words):
    (tmp_path / "file").write_text("{")
    (tmp_path / "folder.parquet").mkdir()
    places = {"MODEL": model_folder, "PICTURES": digits / "test"}
    failed = sslhsic_here(*(places.get(argument, argument) for argument in arguments), check=False)
    assert failed.returncode == 1
    assert re.search(words, failed.stderr), failed.stderr
    assert "Traceback" not in failed.stderr
    assert "img/s" not in failed.stderr, "before any work"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models", "foo*"), "no short name is like 'foo"),
        (("publish", "nowhere", "--repo", "me/x"), "There is no folder nowhere"),
        (("verify", "photo.jpg", "sslhsic-r18"), "photo.jpg is no .onnx file"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_was_meant_otherwise_says_so(sslhsic_here, tmp_path, arguments, words):
    (tmp_path / "photo.jpg").write_bytes(b"")
    failed = sslhsic_here(*arguments, check=False)
    assert failed.returncode in (1, 2)
    assert words in failed.stderr


def test_a_full_disk_is_one_message(sslhsic_here, model_folder, digits, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "out.parquet")

    monkeypatch.setattr("sslhsic_transfer.embed.files.embed", full)
    failed = sslhsic_here("embed", model_folder, digits / "test", "--output", "out.parquet", check=False)
    assert (
        failed.stderr == "error: out.parquet: No space left on device. Make room, then start the same command again\n"
    )


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
