import math
import signal
from itertools import pairwise

import pytest
import torch
from torch import nn

from sslhsic_transfer.errors import ConfigError, DataError, ImageError, TrainingError, TrainingInterruptedError
from sslhsic_transfer.pretrain.checkpoint import load_checkpoint, newest_intact
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.transfer import loop
from sslhsic_transfer.transfer.loop import fit, learning_rate_share
from sslhsic_transfer.transfer.settings import TransferSettings


class Regression:
    """A task small enough to be exact about: fit a line, with noise of the step's own."""

    def __init__(self, **settings):
        defaults = {"iterations": 8, "batch_size": 2, "warmup": 2, "workers": 0, "log_every": 2, "checkpoint_every": 3}
        self.settings = TransferSettings(**defaults | settings)

    def collate(self, examples):
        return {"x": torch.stack([x for x, _ in examples]), "y": torch.stack([y for _, y in examples])}

    def loss(self, network, batch):
        return (network(batch["x"]) + 0.1 * torch.randn(()) - batch["y"]).square().mean()


class Line(torch.utils.data.Dataset):
    def __init__(self, stop_at=None):
        self.stop_at, self.read = stop_at, 0

    def __len__(self):
        return 6

    def __getitem__(self, example):
        self.read += 1
        if self.read == self.stop_at:
            signal.raise_signal(signal.SIGTERM)
        index, seed = example
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed))
        return x, x.sum()[None] + index


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def trained(folder, task=None, examples=None):
    model = network()
    folder.mkdir(exist_ok=True)
    fit(task or Regression(), model, examples or Line(), RunFolder(folder), progress=False)
    return model.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, optimizer):
    task = Regression(optimizer=optimizer)
    whole = trained(tmp_path / "whole", task)
    with pytest.raises(TrainingInterruptedError, match=r"SIGTERM after step 4 of 8.*go on with --resume"):
        trained(tmp_path / "cut", task, Line(stop_at=8))
    cut = trained(tmp_path / "cut", task)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    logs = [RunFolder(tmp_path / name).read_metrics() for name in ("whole", "cut")]
    assert [[record["step"] for record in log] for log in logs] == [[2, 4, 6, 8]] * 2
    assert [record["loss"] for record in logs[0]] == [record["loss"] for record in logs[1]]


def test_finished_runs_are_not_trained_again(tmp_path):
    first = trained(tmp_path)
    again = trained(tmp_path, examples=Line(stop_at=1))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_first_step_of_sgd_is_the_clipped_gradient(tmp_path, nesterov):
    """Velocity v = g; the step is g, with Nesterov's momentum g + 0.9·v."""
    options = {"optimizer": "sgd", "learning_rate": 2.0, "momentum": 0.9, "weight_decay": 0.0, "nesterov": nesterov}
    task = Regression(**options, iterations=1, warmup=0, clip_gradient=0.01)
    before, after = dict(network().named_parameters()), trained(tmp_path, task)
    moved = torch.cat([(after[name] - value).flatten() for name, value in before.items()]).norm()
    assert moved.item() == pytest.approx(2.0 * 0.01 * (1.9 if nesterov else 1.0), rel=1e-3)


def test_the_loss_that_is_logged_is_the_mean_over_processes(tmp_path, monkeypatch):
    trained(tmp_path / "one")
    monkeypatch.setattr("accelerate.Accelerator.reduce", lambda self, value, how: value + 1 if how == "mean" else value)
    trained(tmp_path / "other")
    one, other = (RunFolder(tmp_path / name).read_metrics() for name in ("one", "other"))
    assert [record["loss"] for record in other] == pytest.approx([record["loss"] + 1 for record in one])


def test_each_step_has_random_numbers_of_its_own(tmp_path):
    class Noting(Regression):
        def loss(self, network, batch):
            drawn.append(torch.rand(()).item())
            return super().loss(network, batch)

    drawn = []
    trained(tmp_path, Noting())
    assert len(set(drawn)) == 8


def test_seeds_matter(tmp_path):
    one, other = (trained(tmp_path / str(seed), Regression(seed=seed)) for seed in (0, 1))
    assert not torch.equal(one["0.weight"], other["0.weight"])


def test_frozen_parameters_stay(tmp_path):
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    fit(Regression(), model, Line(), RunFolder(tmp_path), progress=False)
    assert torch.equal(model[0].weight, before)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(
        TrainingError, match=r"The loss is (nan|inf) at step \d+. Usual causes: learning_rate \(1e\+20\)"
    ):
        trained(tmp_path, Regression(learning_rate=1e20, optimizer="sgd", iterations=30))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    task = Regression(learning_rate=1e10, optimizer="sgd", iterations=30, warmup=0, log_every=30, checkpoint_every=1)
    with pytest.raises(TrainingError, match=r"Weights are no longer finite at step (\d+)\. Usual causes") as caught:
        trained(tmp_path, task)
    step, state = load_checkpoint(newest_intact(tmp_path / "checkpoints"))
    assert f"at step {step + 1}." in str(caught.value)
    assert all(value.isfinite().all() for value in state["network"].values())


def test_too_few_pictures(tmp_path):
    with pytest.raises(DataError, match=r"6 training pictures, fewer than a batch of 7"):
        trained(tmp_path, Regression(batch_size=7))


def test_batches_that_processes_cannot_share_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 4)
    with pytest.raises(ConfigError, match=r"batch_size=2 for 4 processes; expected a multiple"):
        trained(tmp_path, Regression(batch_size=2))


def test_the_scaler_of_fp16_goes_on(tmp_path, monkeypatch):
    """There is no GPU here: torch's scaler on the processor, over float32."""
    scalers, build = [], loop.build_accelerator

    def scaling(*arguments):
        accelerator = build(*arguments)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        scalers.append(accelerator.scaler)
        return accelerator

    monkeypatch.setattr(loop, "build_accelerator", scaling)
    whole = trained(tmp_path / "whole")
    with pytest.raises(TrainingInterruptedError):
        trained(tmp_path / "cut", examples=Line(stop_at=8))
    cut = trained(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert [scaler.get_scale() for scaler in scalers] == [32, 16, 32]


def test_schedules():
    def shares(**settings):
        s = TransferSettings(iterations=100, warmup=10, **settings)
        return [learning_rate_share(step, s) for step in range(100)]

    cosine, poly, steps = (shares(schedule=name) for name in ("cosine", "poly", "steps"))
    for values in (cosine, poly, steps):
        assert values[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
        assert values[10] == 1
        assert all(a >= b for a, b in pairwise(values[10:]))
    assert cosine[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert poly[55] == pytest.approx(0.5**0.9)
    assert [steps[step] for step in (69, 70, 89, 90)] == [1, 0.1, 0.1, 0.01]


class Damaged(Line):
    """The seventh picture that is looked at cannot be read, until it is mended."""

    def __init__(self):
        super().__init__()
        self.left = 6

    def __getitem__(self, example):
        self.left -= 1
        if self.left == -1:
            raise ImageError("bad.jpg cannot be read")
        return super().__getitem__(example)


def test_what_was_reached_before_a_damaged_picture_is_saved(tmp_path):
    data = Damaged()
    with pytest.raises(ImageError, match=r"bad\.jpg cannot be read\nThe steps before are saved in .*run: once"):
        trained(tmp_path / "run", examples=data)
    state, expected = trained(tmp_path / "run", examples=data), trained(tmp_path / "whole")
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
