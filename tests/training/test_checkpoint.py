import subprocess
import sys

import pytest
import torch

from sslhsic_transfer.errors import CheckpointError
from sslhsic_transfer.training.checkpoint import list_checkpoints, load_checkpoint, newest_intact, save_checkpoint

STATE = {
    "weights": {"a": torch.randn(3, 2), "b": torch.tensor(7)},
    "optimizers": [
        {"state": {0: {"step": torch.tensor(3.0), "beta": 0.5}}, "param_groups": [{"lr": 1e-3, "foreach": None}]}
    ],
    "betas": (0.9, True),
    "empty": {},
    "name": "x",
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_everything_comes_back_as_it_was(tmp_path):
    path = save_checkpoint(tmp_path, 12, STATE, keep=2)
    step, state = load_checkpoint(path)
    assert step == 12
    assert same(state, STATE)


def test_an_optimizer_continues_as_if_never_stopped(tmp_path):
    def run(stop_at):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(5))
        optimizer = torch.optim.AdamW([weight])
        for step in range(6):
            if step == stop_at:
                path = save_checkpoint(tmp_path, step, {"w": weight, "o": optimizer.state_dict()}, keep=1)
                state = load_checkpoint(path)[1]
                weight = torch.nn.Parameter(state["w"])
                optimizer = torch.optim.AdamW([weight])
                optimizer.load_state_dict(state["o"])
            weight.grad = torch.sin(weight.detach() * (step + 1))
            optimizer.step()
        return weight

    assert torch.equal(run(stop_at=None), run(stop_at=3))


def test_only_the_latest_stay(tmp_path):
    for step in (3, 10, 200):
        save_checkpoint(tmp_path, step, STATE, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000010", "step-00000200"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000200"]


def test_unfinished_ones_do_not_count(tmp_path):
    save_checkpoint(tmp_path, 3, STATE, keep=2)
    (tmp_path / ".step-00000009.tmp").mkdir()
    (tmp_path / "step-old").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003"]


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_is_found(tmp_path, name, damage):
    path = save_checkpoint(tmp_path, 3, STATE, keep=2) / name
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-20])
    elif damage == "flip":
        path.write_bytes(content[:-20] + bytes([content[-20] ^ 0x80]) + content[-19:])
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match="step-00000003"):
        load_checkpoint(path.parent)


def test_a_failure_while_writing_leaves_the_older_ones(tmp_path):
    save_checkpoint(tmp_path, 3, STATE, keep=1)
    with pytest.raises(TypeError, match="/odd is a set"):
        save_checkpoint(tmp_path, 4, {"odd": {1, 2}}, keep=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003"]


def test_the_best_stays_beside_the_latest(tmp_path):
    for step, score in ((1, 0.3), (2, 0.9), (3, None), (4, 0.9), (5, 0.2)):
        save_checkpoint(tmp_path, step, STATE, keep=2, score=score)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000004", "step-00000005"]


def test_the_newest_intact_one_is_found(tmp_path):
    assert newest_intact(tmp_path) is None
    first, second = (save_checkpoint(tmp_path, step, STATE, keep=2) for step in (3, 4))
    assert newest_intact(tmp_path) == second
    weights = second / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.warns(UserWarning, match=r"step-00000004.*damaged. Going back to the checkpoint before"):
        assert newest_intact(tmp_path) == first
    (first / "state.json").unlink()
    with (
        pytest.warns(UserWarning, match="Going back"),
        pytest.raises(CheckpointError, match=r"No checkpoint in .* can be read"),
    ):
        newest_intact(tmp_path)


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from sslhsic_transfer.errors import CheckpointError
from sslhsic_transfer.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint

folder = Path(sys.argv[1])
save_checkpoint(folder, 1, {"weight": torch.zeros(8)}, keep=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(folder, 2, {"weight": torch.zeros(1_000_000)}, keep=1)
except CheckpointError as error:
    print(error)
print([path.name for path in sorted(folder.iterdir())], load_checkpoint(list_checkpoints(folder)[0])[0])
"""


def test_a_write_that_fails_says_so_and_leaves_the_older_ones(tmp_path):
    """In a process of its own, whose files the system lets grow to 100 kB and no further."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    message, remains = done.stdout.strip().splitlines()
    assert "step-00000002 cannot be written" in message
    assert "Earlier ones are untouched (step-00000001)" in message
    assert remains == "['step-00000001'] 1"
