"""Lightly confirms docs/objective.md: where its losses differ from ours, ours are right."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, NTXentLoss

from tests.docs.pages import read, table
from tests.programs import lightly_ranks
from tests.programs.lightly_ranks import LOSSES, byol

ABORTS = ("simclr", "vicreg")  # where shares are not alike
SHARES = ("16,16", "21,11", "8,8,8,8")  # the columns of the page's table


def launched(shares, names, output):
    processes = shares.count(",") + 1
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command += [lightly_ranks.__file__, shares, str(output), *names]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=root, check=False)
    return json.loads(output.read_text()) if done.returncode == 0 else done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("column", "shares"), list(enumerate(SHARES)))
def test_errors_over_processes_are_those_of_the_table(column, shares, tmp_path):
    rows = table("docs/objective.md", "| objective | lightly")
    stated = {name: rows[f"`{name}`"][column] for name in LOSSES}
    found = launched(shares, [name for name, error in stated.items() if error != "aborts"], tmp_path / "errors.json")
    for name, error in found.items():
        if stated[name].endswith("%"):
            assert f"{100 * error:.0f} %" == stated[name], name
        else:
            assert error < 1e-14, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ABORTS)
def test_unequal_shares_end_a_run(name, tmp_path):
    assert table("docs/objective.md", "| objective | lightly")[f"`{name}`"][1] == "aborts"
    assert isinstance(launched("21,11", [name], tmp_path / "errors.json"), str)


def test_the_table_names_the_version_that_is_tested_with():
    assert f"lightly {version('lightly')}, 16 + 16 rows" in read("docs/objective.md")


def computed(loss, views):
    views = [view.clone().requires_grad_() for view in views]
    value = loss(*views)
    value.backward()
    return value, max(view.grad.abs().max() for view in views if view.grad is not None)


@pytest.mark.parametrize(
    ("loss", "count"), [(byol, 4), (NTXentLoss(0.5), 2), (BarlowTwinsLoss(), 2)], ids=["byol", "simclr", "barlow-twins"]
)
def test_huge_embeddings_have_no_gradient_there(loss, count):
    views = [torch.randn(16, 8, generator=torch.Generator().manual_seed(number)) for number in range(count)]
    assert computed(loss, views)[1] > 0
    value, gradient = computed(loss, [1e20 * view for view in views])
    assert value.isfinite()
    assert gradient == 0


def test_barlow_twins_is_infinite_where_they_are_collapsed_too():
    row = 1e20 * torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    collapsed = [row.repeat(16, 1) for _ in range(2)]
    assert not BarlowTwinsLoss()(*collapsed).isfinite()


def test_the_cosine_of_byol_vanishes_with_short_vectors():
    views = [1e-20 * torch.randn(16, 8, generator=torch.Generator().manual_seed(number)) for number in range(4)]
    assert abs(byol(*views)) < 1e-6
