"""Recorded steps, by a recorder that calls the step again where a GPU would launch its kernels again."""

import pytest
import torch
from torch import nn

from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.graphs import RecordedStep
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.training.accelerator import build_accelerator


class CallsAgain:
    """Records nothing at first, as CUDA does, and accumulates into no gradient of before, as a graph does."""

    made = 0

    def __init__(self, *modules: nn.Module) -> None:
        type(self).made += 1
        self.modules = modules

    def record(self, function):
        self.function = function

    def replay(self):
        for module in self.modules:
            module.zero_grad(set_to_none=True)
        self.function()


@pytest.fixture(autouse=True)
def none_made():
    CallsAgain.made = 0


def recorded(network, step):
    return RecordedStep(step, [network], lambda: CallsAgain(network))


def test_warming_up_leaves_buffers_and_gradients_as_if_it_had_not_been():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    plain = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    plain.load_state_dict(network.state_dict())

    def step(x):
        loss = network(x).square().mean() + network(x + 1).sum()
        loss.backward()
        return loss.detach()

    made = recorded(network, step)
    for seed in range(3):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        loss = made(x)
        plain.zero_grad()
        expected = plain(x).square().mean() + plain(x + 1).sum()
        expected.backward()
        torch.testing.assert_close(loss, expected.detach())
        for one, other in zip(network.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
        for one, other in zip(network.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(one, other)
    assert CallsAgain.made == 1


def test_inputs_of_another_shape_are_recorded_anew():
    network = nn.Linear(4, 1)
    made = recorded(network, lambda x: network(x).detach())
    for rows in (3, 3, 5, 5, 3):
        assert made(torch.ones(rows, 4)).shape == (rows, 1)
    assert CallsAgain.made == 3


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("loss.kernel=linear",),
        ("objective=ssl-hsic-no-target",),
        ("loss.low_noise=false", "loss.draws=2"),
        ("loss.estimator=exact",),
    ],
)
def test_a_recorded_run_makes_the_steps_of_a_plain_one(settings, tiny_overrides, digits, tmp_path):
    overrides = [*tiny_overrides, "precision=fp32", "workers=0", "trackers=[]", "optimizer.name=sgd", *settings]
    recipe = load_recipe("demo", overrides)
    ends = []
    for graph in (False, True):
        trainer = Trainer(recipe, build_accelerator("fp32", [], tmp_path), pictures=72)
        if graph:
            parts = trainer.learner, trainer.criterion
            trainer._recorded = RecordedStep(trainer._make_gradients, parts, lambda parts=parts: CallsAgain(*parts))
        damage = DamageRecord(tmp_path / "damaged", 72, 0.0)
        history = []
        for batch in StepLoader(find_data(digits).train, recipe, start=0, total_steps=3, damage=damage):
            loss, scalars = trainer.train_step(batch, watched=True)
            history.append(torch.stack([loss, *(torch.as_tensor(value).float() for value in scalars.values())]))
        state = {name: value.float() for name, value in trainer.learner.state_dict().items()}
        ends.append(
            {**state, "history": torch.stack(history), "scale": trainer.criterion.kernel_scale.detach()}
            | {"draws": torch.tensor(trainer.criterion.draws_made)}
        )
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-3, atol=1e-5)
    assert ends[0]["draws"] == (0 if "loss.estimator=exact" in settings else 3)


def test_graphs_where_there_can_be_none_are_refused_with_the_reason(tiny_overrides, tmp_path):
    def trainer(*settings):
        recipe = load_recipe("demo", [*tiny_overrides, "precision=fp32", *settings])
        return Trainer(recipe, build_accelerator("fp32", [], tmp_path), pictures=72)

    assert trainer()._recorded is None
    with pytest.raises(ConfigError, match=r"cuda_graphs=true, but training runs on cpu; expected auto or false"):
        trainer("cuda_graphs=true")


@pytest.mark.parametrize(
    ("settings", "deterministic", "processes", "taken"),
    [
        ((), False, 1, True),
        (("objective=ssl-hsic-no-target",), False, 1, True),
        (("cuda_graphs=false",), False, 1, False),
        (("objective=simclr",), False, 1, False),
        (("micro_batch_size=8",), False, 1, False),
        (("compile=true",), False, 1, False),
        (("compile=true", "cuda_graphs=true"), False, 1, True),
        ((), True, 1, False),
        ((), False, 2, False),
    ],
)
def test_auto_takes_graphs_where_they_have_been_tried(
    settings, deterministic, processes, taken, tiny_overrides, tmp_path, monkeypatch
):
    """On one GPU, with the SSL-HSIC loss, without micro-batches, compilation or deterministic algorithms."""
    accelerator = build_accelerator("fp32", [], tmp_path)
    trainer = Trainer(load_recipe("demo", [*tiny_overrides, "precision=fp32"]), accelerator, pictures=72)
    trainer.recipe = load_recipe("demo", [*tiny_overrides, "precision=fp32", *settings])
    trainer.criterion = OBJECTIVES[trainer.recipe.objective].build(trainer.recipe)

    class OnGPUs:
        device, num_processes, scaler = torch.device("cuda"), processes, None

    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    trainer.accelerator = OnGPUs()
    assert (trainer._recorded_step() is not None) == taken
    OnGPUs.scaler = object()  # fp16's
    assert trainer._recorded_step() is None or trainer.recipe.cuda_graphs is True
