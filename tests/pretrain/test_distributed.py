"""One model from several processes, over gloo on a CPU; every test asserts how many processes there were.

`accelerate launch --cpu --num_processes 2` silently starts one process. torchrun starts as many as it is told, and so
does `accelerate launch --multi_gpu` with ACCELERATE_USE_CPU=true.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.pretrain.views import ColorOperations, View
from sslhsic_transfer.pretrain.views.draws import Colors
from sslhsic_transfer.training.accelerator import build_accelerator
from sslhsic_transfer.training.run_folder import RunFolder
from tests.docs.pages import read, shell_lines

PROGRAM = Path(__file__).parents[1] / "programs" / "pretrain_ranks.py"
SHORT = ("epochs=1", "optimizer.warmup_epochs=0", "precision=fp32", "workers=0", "trackers=[]")
BATCH, STEPS = 16, 4


def launch(command, recipe, data, output, **environment):
    command = [sys.executable, "-m", *command, "demo", *recipe, "--data", str(data), "--output", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"} | environment
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    if "STOPPED" in environment:
        assert done.returncode != 0
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Model: ") == 1, "one process speaks"
    return done


def torchrun(processes):
    return ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]


@pytest.fixture(scope="module")
def overrides(tiny_overrides):
    return [*tiny_overrides, *SHORT]


@pytest.fixture(scope="module")
def runs(overrides, digits, tmp_path_factory):
    """The same four steps by 1, 2 and 4 processes: {processes: (run folder, notes of each rank)}."""
    found = {}
    for processes in (1, 2, 4):
        folder = tmp_path_factory.mktemp(f"by-{processes}")
        launch([*torchrun(processes), str(PROGRAM)], overrides, digits, folder / "run", NOTES=str(folder))
        found[processes] = folder / "run", [json.loads(path.read_text()) for path in sorted(folder.glob("rank-*.json"))]
    return found


@pytest.fixture(scope="module")
def first_loss(overrides, digits, tmp_path_factory):
    """The first step's loss in one process, where BatchNorm normalizes by each of the groups of rows that are given."""
    root = tmp_path_factory.mktemp("expected")
    recipe, data = load_recipe("demo", overrides), find_data(digits)
    trainer = Trainer(recipe, build_accelerator(recipe.precision, [], root), pictures=len(data.train))
    loader = StepLoader(data.train, recipe, start=0, total_steps=1, damage=DamageRecord(root / "damaged", 72, 0.0))
    ((views,),) = list(loader)
    color = ColorOperations(recipe.augmentation)

    @torch.no_grad()
    def compute(groups):
        parts = [trainer.learner(*(color(rows_of(view, group)) for view in views)) for group in groups]
        trainer.criterion.draws_made = 0
        return trainer.criterion([torch.cat(embeddings) for embeddings in zip(*parts, strict=True)])[0].item()

    return compute


def rows_of(view, rows):
    return View(view.pixels[rows], Colors(*(values[rows] for values in view.colors)))


def logged(folder):
    return [record for record in RunFolder(folder).read_metrics() if "loss" in record]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_so_many_processes_as_asked_for_end_with_one_model(processes, runs):
    folder, notes = runs[processes]
    assert len(notes) == processes
    assert from_pretrained(folder / "model").metadata["processes"] == processes
    assert len({note["weights"] for note in notes}) == 1, "weights, target and kernel scale, to the last bit"


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_figures_are_those_of_the_global_batch_and_logged_once(processes, runs):
    folder, notes = runs[processes]
    records = RunFolder(folder).read_metrics()
    assert [record["step"] for record in records if "loss" in record] == list(range(1, STEPS + 1))
    assert sum("knn" in record for record in records) == 1
    for note in notes:
        assert [step["loss"] for step in note["steps"]] == pytest.approx([record["loss"] for record in logged(folder)])


@pytest.mark.parametrize("processes", [2, 4])
def test_each_step_has_the_same_pictures_and_views_as_in_one_process(processes, runs):
    _, (whole,) = runs[1]
    _, notes = runs[processes]
    for step in range(STEPS):
        shares = [note["steps"][step]["pictures"] for note in notes]
        assert [len(share) for share in shares] == [BATCH // processes] * processes
        assert sorted(picture for share in shares for picture in share) == sorted(whole["steps"][step]["pictures"])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_first_loss_differs_from_one_processs_by_batchnorm_alone(processes, runs, first_loss):
    """On a CPU each process normalizes by its own rows; doing so in one process gives the same global loss."""
    groups = [slice(rank, None, processes) for rank in range(processes)]
    found = logged(runs[processes][0])[0]["loss"]
    assert found == pytest.approx(first_loss(groups), abs=2e-5)
    if processes > 1:
        assert abs(found - first_loss([slice(None)])) > 1e-3, "the comparison would see rows normalized together"


def test_two_processes_with_micro_batches_by_accelerates_launcher(overrides, digits, tmp_path, first_loss):
    """By the documented command; BatchNorm normalizes by each process's micro-batches."""
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0"]
    command = [*launcher, "-m", "sslhsic_transfer.pretrain"]
    launch(command, [*overrides, "micro_batch_size=4"], digits, tmp_path / "run")
    assert from_pretrained(tmp_path / "run" / "model").metadata["processes"] == 2
    assert [record["step"] for record in logged(tmp_path / "run")] == list(range(1, STEPS + 1))
    groups = [torch.arange(BATCH)[rank::2][start : start + 4] for rank in (0, 1) for start in (0, 4)]
    assert logged(tmp_path / "run")[0]["loss"] == pytest.approx(first_loss(groups), abs=2e-5)


def test_processes_stop_together_at_a_logged_step_when_one_is_told_to(overrides, digits, runs, tmp_path):
    run = tmp_path / "run"
    command, recipe = [*torchrun(2), str(PROGRAM)], [*overrides, "monitor.log_every=2"]
    stopped = launch(command, recipe, digits, run, NOTES=str(tmp_path), STOPPED="1")
    assert "Stopped by SIGTERM after step 2 of 4" in stopped.stderr
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]
    launch(command, [*recipe, "--resume"], digits, run, NOTES=str(tmp_path))
    whole = runs[2][0] / "model/model.safetensors"
    assert (run / "model/model.safetensors").read_bytes() == whole.read_bytes()


def test_where_steps_are_long_processes_agree_after_each(overrides, digits, tmp_path):
    """Told to stop in step 3, which is not logged and takes more than a second."""
    told = {"NOTES": str(tmp_path), "STOPPED": "1", "STOPPED_AFTER": "2", "LONG": "1.2"}
    stopped = launch(
        [*torchrun(2), str(PROGRAM)], [*overrides, "monitor.log_every=2"], digits, tmp_path / "run", **told
    )
    assert "Stopped by SIGTERM after step 3 of 4" in stopped.stderr


def test_accelerates_launcher_starts_one_process_on_a_cpu_whatever_it_is_told(tmp_path):
    """And says nothing, as docs/distributed.md warns; if that changes, the warning can go."""
    program = tmp_path / "program.py"
    program.write_text("print('started')")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("started") == 1


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_nodes_by_the_documented_lines(launcher, overrides, digits, runs, tmp_path):
    """Both on this machine, of one process where the page has eight; the same weights as two processes of one node."""
    (line,) = [
        line for line in shell_lines(read("docs/distributed.md")) if line.startswith(launcher) and "NODE0" in line
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = line.replace("NODE0:29500", f"127.0.0.1:{port}").replace("NODE0", "127.0.0.1").replace("29500", str(port))
    line = line.replace("--nproc_per_node 8", "--nproc_per_node 1").replace("--num_processes 16", "--num_processes 2")
    line = line.replace("IMAGENET", str(digits)).replace("RUN", str(tmp_path / "run")).replace("imagenet-r50", "demo")
    words = [*shlex.split(line, comments=True), *overrides]
    module = {"torchrun": ["torch.distributed.run"], "accelerate": ["accelerate.commands.launch"]}[launcher]
    words = [sys.executable, "-m", *module, *words[1 if launcher == "torchrun" else 2 :]]
    second = [word if words[at - 1] != "--machine_rank" else "1" for at, word in enumerate(words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    nodes = [subprocess.Popen(node, env=environment, stderr=subprocess.PIPE, text=True) for node in (words, second)]
    for node in nodes:
        said = node.communicate(timeout=300)[1]
        assert node.returncode == 0, said
    assert from_pretrained(tmp_path / "run/model").metadata["processes"] == 2
    weights = (tmp_path / "run/model/model.safetensors").read_bytes()
    assert weights == (runs[2][0] / "model/model.safetensors").read_bytes()
