import pytest
import torch
from lightly.loss import BarlowTwinsLoss, NTXentLoss, VICRegLoss
from torch.nn import functional as F

from sslhsic_transfer.pretrain import load_recipe, pretrain, rivals
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.run_folder import RunFolder


@pytest.fixture
def views():
    torch.manual_seed(0)
    return [torch.randn(16, 8) for _ in range(4)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (rivals.NTXent(0.2), NTXentLoss(temperature=0.2)),
        (rivals.VICReg(), VICRegLoss()),
        (rivals.BarlowTwins(0.01), BarlowTwinsLoss(lambda_param=0.01)),
    ],
)
def test_pairs_are_lightlys_losses(views, ours, theirs):
    assert ours(views[:2])[0].item() == pytest.approx(theirs(*views[:2]).item())


def test_byol_is_the_negative_cosine_of_predictions_and_crossed_targets(views):
    first, second, second_target, first_target = (F.normalize(view, dim=1) for view in views)
    expected = -((first * second_target).sum(1) + (second * first_target).sum(1)).mean() / 2
    assert rivals.BYOL()(views)[0].item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_trains_whole_and_in_micro_batches(name, tiny_overrides, digits, tmp_path):
    finals = []
    for size in ("null", "16"):
        overrides = [*tiny_overrides, f"objective={name}", f"micro_batch_size={size}", "epochs=1", "batch_size=32"]
        recipe = load_recipe("demo", [*overrides, "monitor.evaluate_every=0", "precision=fp32"])
        pretrain(recipe, digits, tmp_path / size, progress=False)
        finals.append([record["loss"] for record in RunFolder(tmp_path / size).read_metrics()])
    assert len(finals[0]) == len(finals[1]) == 2
    assert all(torch.tensor(losses).isfinite().all() for losses in finals)
