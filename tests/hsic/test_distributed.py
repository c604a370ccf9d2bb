import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.hsic import SSLHSICLoss

PROGRAM = Path(__file__).parents[1] / "programs" / "global_loss.py"

CASES = {
    f"{form}, {regularizer}": {**options, "regularizer": regularizer}
    for regularizer in ("biased", "debiased")
    for form, options in {
        "exact": {"estimator": "exact"},
        "auto": {"estimator": "auto"},
        "features": {"estimator": "features", "draws": 2},
        "the paper's features": {"estimator": "features", "low_noise": False},
        "a draw a rank": {"estimator": "features", "shared_draw": False},
        "the paper's, a draw a rank": {"estimator": "features", "low_noise": False, "shared_draw": False},
    }.items()
}
SHARES = [(8, 8), (11, 5), (4, 7, 2, 3)]


@pytest.fixture(scope="module", params=SHARES, ids=str)
def ranks(request, tmp_path_factory):
    """The shares, and what each rank found."""
    rows = request.param
    output = tmp_path_factory.mktemp("ranks") / "result.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={len(rows)}"]
    command += [str(PROGRAM), ",".join(map(str, rows)), str(output), json.dumps(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return rows, torch.load(output)


def alone(rows, case):
    """Compute the result of one process for the whole batch."""
    torch.manual_seed(0)
    data = torch.randn(3, rows, 12, dtype=torch.float64)
    torch.manual_seed(1)
    network, criterion = nn.Linear(12, 6).double(), SSLHSICLoss(num_features=64, **CASES[case])
    embeddings = network(data)
    views = [embeddings[0], embeddings[1], embeddings[2].detach()]
    return network, criterion, views


@pytest.mark.parametrize("case", [name for name in CASES if "a draw a rank" not in name])
def test_every_rank_has_the_loss_and_gradient_of_the_global_batch(case, ranks):
    rows, results = ranks
    network, criterion, views = alone(sum(rows), case)
    loss, scalars = criterion(views)
    loss.backward()
    noise = criterion.gradient_noise([view.detach() for view in views])
    assert len(results) == len(rows)
    for result in (each[case] for each in results):
        assert result["processes"] == len(rows)
        torch.testing.assert_close(result["loss"], loss.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result["weight"], network.weight.grad, rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(result["bias"], network.bias.grad, rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(result["gradient_noise"], noise, rtol=1e-4, atol=0)
        assert result.keys() >= scalars.keys()
        for name, value in scalars.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def scale_gradient(criterion, views):
    criterion.kernel_scale.grad = None
    criterion([view.detach() for view in views])[0].backward()
    return criterion.kernel_scale.grad


@pytest.mark.parametrize("case", [name for name in CASES if "a draw a rank" not in name])
def test_the_scale_learns_from_all_ranks(case, ranks):
    """From all pairs in the exact form; else from each rank's own, by the number of its images."""
    rows, results = ranks
    _, criterion, views = alone(sum(rows), case)
    if results[0][case]["exact"]:
        expected = scale_gradient(criterion, views)
    else:
        shares = zip(*(view.split(rows) for view in views), strict=True)
        expected = sum(len(share[0]) * scale_gradient(criterion, share) for share in shares) / sum(rows)
    for result in (each[case] for each in results):
        torch.testing.assert_close(result["scale"], expected, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(result["scale"], results[0][case]["scale"], rtol=0, atol=0)


@pytest.mark.parametrize("case", [name for name in CASES if "a draw a rank" in name])
def test_a_draw_a_rank_gives_the_mean_over_their_losses(case, ranks):
    rows, results = ranks
    network, criterion, views = alone(sum(rows), case)
    total = torch.zeros((), dtype=torch.float64)
    for rank in range(len(rows)):
        generator = torch.Generator().manual_seed(mix_seed(0, 0, rank))
        total = total + criterion(views, criterion._draw(generator, views[0]))[0] / len(rows)
    total.backward()
    for result in (each[case] for each in results):
        torch.testing.assert_close(result["loss"], total.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result["weight"], network.weight.grad, rtol=1e-6, atol=1e-12)
