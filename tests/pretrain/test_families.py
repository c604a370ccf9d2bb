"""Pretraining of ConvNeXts and Vision Transformers."""

import pytest
import torch

from sslhsic_transfer import create_encoder, from_pretrained
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.sample import sign_digits
from sslhsic_transfer.training.run_folder import RunFolder


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16"])
def test_a_run_trains_every_weight(name, tiny_overrides, digits, tmp_path):
    recipe = load_recipe(
        "demo", (*tiny_overrides, f"encoder.architecture={name}", "epochs=1", "optimizer.warmup_epochs=0")
    )
    encoder = from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))
    torch.manual_seed(mix_seed(recipe.seed))
    before = create_encoder(name)
    assert encoder.config == before.config
    first = dict(before.named_parameters())
    assert not [key for key, value in encoder.named_parameters() if torch.equal(value, first[key])]
    assert encoder.embed(next((digits / "test" / "0").iterdir())).isfinite().all()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["convnext_pico", "vit_small_patch16"])
def test_the_loss_falls_and_neighbors_become_alike(name, tmp_path):
    settings = (f"encoder.architecture={name}", "epochs=8", "optimizer.learning_rate=5e-4", "optimizer.warmup_epochs=1")
    recipe = load_recipe("demo", (*settings, "monitor.evaluate_every=1", "workers=1"))
    pretrain(recipe, sign_digits().root, tmp_path / "run", progress=False)
    records = RunFolder(tmp_path / "run").read_metrics()
    losses = [record["loss"] for record in records if "loss" in record]
    neighbors = [record["knn"] for record in records if "knn" in record]
    assert losses[-1] < losses[0]
    assert neighbors[-1] > neighbors[0] + 0.05
