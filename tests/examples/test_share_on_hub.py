"""From training to other people's machines: one model, the same features throughout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.results import save_results
from tests.hub_server.fixture import hub  # noqa: F401 - a fixture

EXAMPLE = Path(__file__).parents[2] / "examples" / "share_on_hub.py"
REPO = "tester/digits-r18"
SMALL = ("epochs=1", "batch_size=16", "augmentation.size=32", "head.hidden_dim=32", "workers=0", "precision=fp32")

LOAD = """
import sys, torch
from sslhsic_transfer import from_pretrained
torch.save(from_pretrained(sys.argv[1])(torch.load(sys.argv[2])).detach(), sys.argv[3])
"""
TIMM = """
import sys, timm, torch
model = timm.create_model(f"hf_hub:{sys.argv[1]}", pretrained=True, num_classes=0).eval()
torch.save(model(torch.load(sys.argv[2])).detach(), sys.argv[3])
"""


@pytest.fixture
def trained(digits, tmp_path):
    """Train a model in a short run, and measure one figure."""
    model = pretrain(load_recipe("demo", [*SMALL, "optimizer.warmup_epochs=0"]), digits, tmp_path / "run")
    figures = evaluate(model, ["knn"], train=digits / "train", test=digits / "test", floors=True, k=5, progress=False)
    save_results(model / "results.json", figures)
    return model


def test_train_publish_load_offline_and_in_timm(hub, trained, tmp_path):  # noqa: F811 - the fixture
    images = torch.randn(2, 3, 64, 64)
    torch.save(images, tmp_path / "images.pt")
    with torch.no_grad():
        expected = from_pretrained(trained)(images)

    def run(*command, **environment):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def features(code, **environment):
        """Compute features in a process of its own."""
        run("-c", code, REPO, tmp_path / "images.pt", tmp_path / "features.pt", **environment)
        return torch.load(tmp_path / "features.pt")

    shown = run(EXAMPLE, trained, REPO, "--license", "apache-2.0", "--trained-by", "the tests", "--tag", "v1")
    assert "Published, read back and verified" in shown
    assert "by the folder and by the Hub are equal" in shown
    assert set(hub.tags(REPO)) == {"v1"}
    assert {"recipe.yaml", "metrics.jsonl", "curves.png"} < set(hub.files(REPO))

    fresh = {"HF_HOME": str(tmp_path / "fresh"), "HF_HUB_CACHE": str(tmp_path / "fresh/hub")}
    assert torch.equal(features(LOAD, **fresh), expected)
    torch.testing.assert_close(features(TIMM, **fresh), expected, rtol=1e-5, atol=1e-5)
    hub.stop()
    assert torch.equal(features(LOAD, **fresh, HF_HUB_OFFLINE="1"), expected)
    torch.testing.assert_close(features(TIMM, **fresh, HF_HUB_OFFLINE="1"), expected, rtol=1e-5, atol=1e-5)
