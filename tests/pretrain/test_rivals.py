import math

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss

from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.pretrain import load_recipe, pretrain, rivals
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.training.run_folder import RunFolder

RIVALS = {"byol": rivals.BYOL, "simclr": rivals.NTXent, "vicreg": rivals.VICReg, "barlow-twins": rivals.BarlowTwins}


def views_for(criterion, rows=16, dim=8, dtype=torch.float32):
    """Two or four views of rows that are alike, with a common mean."""
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(rows, dim, dtype=dtype, generator=generator)
    noise = torch.randn(criterion.num_views, rows, dim, dtype=dtype, generator=generator)
    return [(view + 0.3).requires_grad_() for view in content + 0.5 * noise]


def byol_of_lightly(first, second, second_target, first_target):
    distance = NegativeCosineSimilarity()
    return (distance(first, second_target) + distance(second, first_target)) / 2


@pytest.mark.parametrize(("rows", "dim"), [(16, 8), (256, 64)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-13), (torch.float32, 2e-6)], ids=str)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (rivals.BYOL(), byol_of_lightly),
        (rivals.NTXent(0.2), NTXentLoss(temperature=0.2)),
        (rivals.VICReg(), VICRegLoss()),
        (rivals.BarlowTwins(0.01), BarlowTwinsLoss(lambda_param=0.01)),
    ],
    ids=RIVALS,
)
def test_loss_and_gradient_are_lightlys_in_one_process(ours, theirs, dtype, rtol, rows, dim):
    views, again = (views_for(ours, rows, dim, dtype) for _ in range(2))
    loss, scalars = ours(views)
    expected = theirs(*again)
    loss.backward()
    expected.backward()
    assert not scalars
    assert loss.item() == pytest.approx(expected.item(), rel=rtol)
    for view, twin in zip(views, again, strict=True):
        assert (view.grad - twin.grad).norm() < rtol * twin.grad.norm()


@pytest.mark.parametrize("size", [1e-30, 1e20, 1e30])
@pytest.mark.parametrize("name", ["byol", "simclr"])
def test_cosines_do_not_depend_on_the_embeddings_length(name, size):
    """lightly's are those of zero vectors where the squares overflow or vanish, and no gradient says so."""
    criterion = RIVALS[name]()
    views = views_for(criterion)
    assert criterion([view * size for view in views])[0].item() == pytest.approx(criterion(views)[0].item(), rel=1e-5)


@pytest.mark.parametrize("size", [1e20, 1e30])
def test_correlations_do_not_depend_on_the_embeddings_size(size):
    """But for BatchNorm's epsilon, which is beside a variance of about 1 here; lightly's are zero."""
    views = views_for(rivals.BarlowTwins())
    large = rivals.BarlowTwins()([view * size for view in views])[0].item()
    assert large == pytest.approx(rivals.BarlowTwins()(views)[0].item(), rel=1e-3)


@pytest.mark.parametrize("name", RIVALS)
def test_other_views_are_refused(name):
    criterion = RIVALS[name]()
    views = views_for(criterion)
    for wrong in (views[:1], [*views, views[0]], [views[0][:8], *views[1:]], [view[0] for view in views]):
        with pytest.raises(InputError, match=f"expected {criterion.num_views}, all of one shape"):
            criterion(wrong)
    with pytest.raises(InputError, match=f"B ≥ {criterion.min_rows}"):
        criterion([view[: criterion.min_rows - 1] for view in views])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        rivals.NTXent(temperature)


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
