"""The benchmark for GPUs, tried on a CPU: that it ends, and tells of everything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
OURS = {
    "pretrain": [
        "bf16 product",
        "resnet18-32: bare step",
        "resnet18-32: engine, from its cache",
        "32 px: input alone, from JPEGs",
        "resnet18-32: engine, from JPEGs",
        "resnet18-32: cache / bare step",
        "resnet18-32: JPEGs / slower of input and bare step",
    ],
    "embed": [
        "reading alone",
        "network alone, bf16",
        "network alone, fp32",
        "ours, bf16",
        "ours, fp32",
        "embed_folder, bf16, from start to file",
        "ours / slower of reading and network, bf16",
        "ours / slower of reading and network, fp32",
    ],
    "loss": ["ours, B = 64", "ours, B = 512", "ours, B = 1,024", "exponent of ours in B, the largest four"],
    "probes": [
        "k-NN, ours (2,000 × 64, 400 queries)",
        "k-NN: same class as scikit-learn's",
        "closed form (ridge), ours",
        "linear probe, L-BFGS: scikit-learn's, on the CPU today",
    ],
}


def test_it_measures_all_and_says_what_it_could_not(tmp_path):
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--workers", "1", "--output", str(tmp_path)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # threads that wait for one another take many times as long
    run = subprocess.run(command, capture_output=True, text=True, timeout=580, cwd=tmp_path, env=alone, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["facts"]["device"] == "cpu"
    assert found["facts"]["torch"]
    assert found["pictures"]["large"]["pictures"] > 0
    for part, names in OURS.items():
        rows = {row["name"]: row for row in found["parts"][part]["rows"]}
        assert all(rows[name]["value"] > 0 for name in names), rows
        for row in rows.values():
            assert row["state"] in ("measured", "not run")
            assert row["value"] is not None or row["note"], row
            assert (row["met"] is None) == (not row["goal"] or row["value"] is None), row
            assert row["name"] in run.stdout
    agreement = {row["name"]: row for row in found["parts"]["probes"]["rows"]}["k-NN: same class as scikit-learn's"]
    assert agreement["met"]


def test_a_part_that_cannot_end_in_time_is_stopped_and_told_of(tmp_path):
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--only", "loss", "--budget", "0.001"]
    command += ["--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    rows = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]["loss"]["rows"]
    assert rows[0]["state"] != "measured"
    assert rows[0]["note"] in run.stdout
