import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sslhsic_transfer.hsic import SSLHSICLoss

PROGRAM = Path(__file__).parents[1] / "programs" / "global_loss.py"


def gradient_of_scale(network, share):
    """By one process's rows alone."""
    criterion = SSLHSICLoss(num_features=64)
    criterion(list(network(share).detach()))[0].backward()
    return criterion.kernel_scale.grad


@pytest.mark.parametrize(("rows", "regularizer"), [([8, 8], "biased"), ([11, 5], "debiased"), ([4, 7, 2, 3], "biased")])
def test_every_rank_has_the_loss_and_gradient_of_the_global_batch(rows, regularizer, tmp_path):
    output = tmp_path / "result.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={len(rows)}"]
    command += [str(PROGRAM), ",".join(map(str, rows)), regularizer, str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = torch.load(output)

    torch.manual_seed(0)
    data = torch.randn(2, sum(rows), 12, dtype=torch.float64)
    network = nn.Linear(12, 6).double()
    loss, scalars = SSLHSICLoss(num_features=64, regularizer=regularizer)(list(network(data)))
    loss.backward()
    assert len(results) == len(rows)
    scale = sum(len(share[0]) * gradient_of_scale(network, share) for share in data.split(rows, dim=1)) / sum(rows)
    for result in results:
        assert result["processes"] == len(rows)
        torch.testing.assert_close(result["loss"], loss.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result["weight"], network.weight.grad, rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(result["bias"], network.bias.grad, rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(result["hsic_zz"], scalars["hsic_zz"], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result["scale"], results[0]["scale"], rtol=0, atol=0)
        torch.testing.assert_close(result["scale"], scale, rtol=1e-5, atol=1e-7)
