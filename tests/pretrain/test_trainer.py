import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.training.accelerator import build_accelerator
from tests.fake_cuda import CUDA, fake_cuda


def test_steps_are_made_of_the_recipes_numbers(tiny_overrides, digits, tmp_path):
    """75 pictures, batches of 16, two epochs: nine steps, of which the first ⌊75 / 16⌋ = 4 warm up."""
    settings = ["precision=fp32", "workers=0", "trackers=[]", "seed=3", "average_decay=0.5", "target_decay=0.9"]
    recipe = load_recipe("demo", [*tiny_overrides, *settings, "optimizer.name=sgd", "loss.scale_learning_rate=0.02"])
    trainer = Trainer(recipe, build_accelerator("fp32", [], tmp_path), pictures=75)
    damage = DamageRecord(tmp_path / "damaged", 75, 0.0)
    name = "encoder.layer1.0.conv1.weight"
    history = [trainer.learner.state_dict()[f"online.{name}"].clone()]
    for step, batch in enumerate(StepLoader(find_data(digits).train, recipe, start=0, total_steps=3, damage=damage)):
        before = trainer.learner.state_dict()[f"target.{name}"].clone()
        _, scalars = trainer.train_step(batch)
        after = trainer.learner.state_dict()
        decay = 1 - 0.1 * (math.cos(math.pi * step / 9) + 1) / 2
        assert scalars["learning_rate"] == pytest.approx(recipe.peak_learning_rate * step / 4)
        assert scalars["target_decay"] == pytest.approx(decay)
        torch.testing.assert_close(after[f"target.{name}"], decay * before + (1 - decay) * after[f"online.{name}"])
        if step == 0:
            assert abs(trainer.criterion.kernel_scale.item() - 1) == pytest.approx(0.02, rel=1e-3), "Adam's first step"
        history.append(after[f"online.{name}"].clone())
    mean = (0.125 * history[0] + 0.25 * history[1] + 0.5 * history[2] + history[3]) / 1.875
    torch.testing.assert_close(trainer.evaluated_encoder().layer1[0].conv1.weight, mean)
    assert trainer.criterion.seed == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_several_processes_on_gpus_share_their_statistics(processes, tiny):
    accelerator = SimpleNamespace(num_processes=processes, device=CUDA, scaler=None, prepare=lambda *parts: parts)
    with fake_cuda():
        network = Trainer(tiny, accelerator, pictures=72).learner
    norms = {type(layer) for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}
    assert norms == ({nn.SyncBatchNorm} if processes > 1 else {nn.BatchNorm1d, nn.BatchNorm2d})


def test_the_scaler_of_fp16_goes_on(tiny, tmp_path):
    """There is no GPU here: torch's scaler on the processor, over float32."""
    trainers = []
    for _ in range(2):
        accelerator = build_accelerator("fp32", [], tmp_path)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        accelerator.scaler.scale(torch.ones(1))  # which makes its state
        trainers.append(Trainer(tiny, accelerator, pictures=72))
    trainers[0].accelerator.scaler.update(4.0)
    trainers[1].load_state_dict(3, trainers[0].state_dict())
    assert trainers[1].accelerator.scaler.get_scale() == 4.0


def test_the_scaler_of_fp16_changes_once_a_step_and_scales_what_all_optimizers_see(tiny_overrides, digits, tmp_path):
    """A scale that grows with every step, and none, make the same networks and the same kernel scale."""
    recipe = load_recipe("demo", [*tiny_overrides, "precision=fp32", "workers=0", "trackers=[]", "optimizer.name=lars"])
    ends = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)):
        accelerator = build_accelerator("fp32", [], tmp_path)
        accelerator.scaler = scaler
        trainer = Trainer(recipe, accelerator, pictures=72)
        damage = DamageRecord(tmp_path / "damaged", 72, 0.0)
        for batch in StepLoader(find_data(digits).train, recipe, start=0, total_steps=3, damage=damage):
            trainer.train_step(batch)
        ends.append(trainer.learner.state_dict() | {"scale": trainer.criterion.kernel_scale.detach()})
    assert scaler.get_scale() == 8 * 2**3
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-6)
