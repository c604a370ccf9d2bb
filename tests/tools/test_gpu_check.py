import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.programs.gpu_checks import CHECKS, process_of
from tools import gpu_check
from tools.gpu_checks.check import Figure, Place
from tools.gpu_checks.needs import NEEDS
from tools.gpu_checks.report import JSON_NAME, Report
from tools.gpu_checks.table import CHECKS as TABLE

SCRIPT = Path(gpu_check.__file__)
# The only reasons that may keep a check from running on this machine.
REASONS = (
    "needs CUDA",
    "onnxruntime-gpu is not installed",
    "mmsegmentation is not installed",
    "detectron2 is not installed",
    "there is no compiler",
)
# OUTPUT SECONDS NAME…: run some of the checks that end in every way; with SECONDS, that is the limit of each.
PROGRAM = """
import dataclasses, signal, sys
from pathlib import Path
from tests.programs.gpu_checks import CHECKS
from tools import gpu_check
from tools.gpu_checks.check import Place
output, seconds, *names = sys.argv[1:]
chosen = [check for check in CHECKS if check.name in names]
if float(seconds):
    chosen = [dataclasses.replace(check, seconds=float(seconds)) for check in chosen]
signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(gpu_check.run(chosen, Place("cpu", Path(output), 2), 300))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All ways to end, by two workers: exit status, output, document, what was printed."""
    output = tmp_path_factory.mktemp("gpu-check")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(output), "0", *(check.name for check in CHECKS)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=SCRIPT.parents[1],
    )
    return done.returncode, output, json.loads((output / JSON_NAME).read_text()), done.stdout


def results_of(document):
    return {result["name"]: result for result in document["checks"]}


def test_each_way_to_end_is_told_from_the_others(run):
    status, _, document, _ = run
    outcomes = {name: result["outcome"] for name, result in results_of(document).items()}
    assert outcomes == {
        **{f"is.{name}": "passed" for name in ("good", "command")},
        **{f"is.{name}": "not run" for name in ("impossible", "needy")},
        **{f"is.{name}": "failed" for name in ("broken", "nan", "empty", "told", "error", "crash", "late", "program")},
    }
    assert status == 1
    assert (document["passed"], document["failed"], document["not_run"], document["complete"]) == (2, 8, 2, True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("is.broken", "error 2 (≤ 1)"),
        ("is.nan", "cosine nan (≥ 0.9)"),
        ("is.empty", "it held nothing against a bound"),
        ("is.told", "found 1, expected 2"),
        ("is.error", "ValueError: of the library"),
        ("is.crash", "its process ended"),
        ("is.late", "stopped after its limit of 2 s"),
        ("is.program", "no such thing"),
        ("is.impossible", "the weights are not here"),
        ("is.needy", "needs CUDA"),
    ],
)
def test_the_reason_is_told(name, reason, run):
    _, _, document, printed = run
    assert reason in results_of(document)[name]["reason"]
    assert reason.split(";")[0] in printed


def test_what_was_found_is_kept_whatever_the_outcome(run):
    _, _, document, _ = run
    results = results_of(document)
    assert [figure["name"] for figure in results["is.good"]["figures"]] == ["error", "cosine", "speed"]
    assert results["is.good"]["notes"] == ["a note"]
    assert results["is.error"]["figures"][0]["value"] == 0.5
    assert 'raise ValueError("of the library")' in results["is.error"]["traceback"]
    assert {"device", "torch", "cuda", "cudnn", "switches"} <= document["machine"].keys()


def test_progress_and_one_table_at_the_end(run):
    _, output, _, printed = run
    progress, table = printed.split("\n\n", 1)
    assert [line.split("]")[0].strip("[ ") for line in progress.splitlines()] == [f"{n}/12" for n in range(1, 13)]
    assert all(sum(line.startswith(f"{check.name} ") for line in table.splitlines()) == 1 for check in CHECKS)
    assert "2 passed, 8 failed, 2 not run" in table
    assert printed.rstrip().endswith(f"Written to {output / JSON_NAME}")


def test_what_a_check_has_started_ends_with_it(run):
    _, output, _, _ = run
    assert not is_running(process_of(output))


def test_a_run_that_is_ended_leaves_what_it_has(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "60", "is.good", "is.late"], cwd=SCRIPT.parents[1]
    )
    deadline = time.monotonic() + 300
    while not _ended(tmp_path) or not (tmp_path / "work/is.late/process").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    late = process_of(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    document = json.loads((tmp_path / JSON_NAME).read_text())
    assert [result["outcome"] for result in document["checks"]] == ["passed", "not run"]
    assert not document["complete"]
    assert not is_running(late)


def is_running(number):
    """Tell whether a process runs; one that has ended may still be a zombie."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ended(output):
    path = output / JSON_NAME
    return path.exists() and json.loads(path.read_text())["passed"] == 1


def test_without_time_nothing_is_begun_and_nothing_has_passed(tmp_path, capsys):
    assert gpu_check.run(CHECKS[:2], Place("cpu", tmp_path, 1), -1.0) == 1
    document = json.loads((tmp_path / JSON_NAME).read_text())
    assert {result["outcome"] for result in document["checks"]} == {"not run"}
    assert "out of time" in capsys.readouterr().out


def test_the_document_is_there_from_the_start(tmp_path):
    Report(CHECKS, Place("cpu", tmp_path, 1))
    document = json.loads((tmp_path / JSON_NAME).read_text())
    assert {(result["outcome"], result["reason"]) for result in document["checks"]} == {("not run", "not begun")}
    assert not document["complete"]


def test_only_takes_the_beginning_of_a_name():
    assert {check.name for check in gpu_check.chosen(CHECKS, ["is.e", "is.g"])} == {"is.good", "is.empty", "is.error"}
    assert gpu_check.chosen(CHECKS, []) == list(CHECKS)
    with pytest.raises(SystemExit, match="No check begins with 'nothing'"):
        gpu_check.chosen(CHECKS, ["is.good", "nothing"])


def test_the_table_is_whole():
    names = [check.name for check in TABLE]
    assert len(set(names)) == len(names) > 40
    assert {need for check in TABLE for need in check.needs} <= NEEDS.keys()
    for part in (
        "features.sslhsic-r50.fp16",
        "loss.laplace",
        "pretraining.cache-device",
        "transfer.detection-detectron2",
    ):
        assert part in names


def test_the_figure_nearest_to_its_bound_is_shown_first():
    figures = [Figure("far", 0.1, 1.0), Figure("near", 0.95, 0.9, at_most=False), Figure("free", 7.0)]
    assert max(figures, key=lambda figure: figure.strain).name == "near"
    assert dataclasses.replace(figures[1], value=0.0).strain == float("inf")
    assert Figure("none", 0.0, 0.0).strain == 0


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_check_passes_on_a_cpu_or_says_why_it_cannot_run(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--output", str(tmp_path), "--budget", "4800"],
        capture_output=True,
        text=True,
        timeout=5300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    document = json.loads((tmp_path / JSON_NAME).read_text())
    assert document["complete"]
    assert [result["name"] for result in document["checks"]] == [check.name for check in TABLE]
    for result in document["checks"]:
        if result["outcome"] == "not run":
            assert result["reason"].startswith(REASONS), result
        else:
            assert result["outcome"] == "passed"
            assert any(figure["bound"] is not None for figure in result["figures"])
    by_need = {check.name for check in TABLE if not check.needs}
    assert not by_need & {result["name"] for result in document["checks"] if result["outcome"] == "not run"}
