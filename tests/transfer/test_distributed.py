"""One fine-tune by two processes, over gloo on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

from sslhsic_transfer.results import load_results
from tests.dense_data import segmentation_lists

PROGRAM = Path(__file__).parents[1] / "programs" / "transfer_ranks.py"
SETTINGS = ("workers=0", "iterations=3", "warmup=1", "batch_size=4", "crop=[64,64]", "resize=64", "log_every=1")


def test_two_processes_share_the_batches_and_train_one_network(model_folder, tmp_path):
    data, run = segmentation_lists(tmp_path / "scenes"), tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(PROGRAM)]
    command += ["segmentation", str(model_folder), *SETTINGS, "--data", str(data), "--output", str(run)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "NOTES": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Model: ") == 1, "one process speaks"
    notes = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert [note["processes"] for note in notes] == ["2", "2"]
    assert notes[0]["weights"] == notes[1]["weights"]
    assert [len(note["seen"]) for note in notes] == [6, 6]
    seen = [tuple(example) for note in notes for example in note["seen"]]
    assert len(set(seen)) == 12, "no picture with the same seed twice"
    assert {index for index, _ in seen} == set(range(8)), "an epoch and a half of eight pictures"
    assert [record["step"] for record in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())] == [1, 2, 3]
    assert load_results(run / "results.json")[0].metric == "mIoU"
