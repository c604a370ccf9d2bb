"""Tests of minutes each, on the data sets that SSLHSIC_DATA points to."""

import pytest
import torch

from sslhsic_transfer import create_encoder, from_pretrained
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.embed import embed_folder, extract
from sslhsic_transfer.evaluate import knn_accuracy
from sslhsic_transfer.pretrain import load_recipe, pretrain

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_imagenette_recipe_lifts_knn_well_above_the_untrained_encoder(data_root, tmp_path):
    data = data_root / "imagenette128"
    recipe = load_recipe("imagenette-r18", ["epochs=4", "monitor.evaluate_every=0"])
    model = pretrain(recipe, data, tmp_path / "run", progress=False)
    splits = [ImageFolder.scan(data / split, labelled=True) for split in ("train", "val")]
    labels = [torch.tensor(split.labels) for split in splits]
    accuracies = []
    torch.manual_seed(0)
    for encoder in (create_encoder("resnet18", preprocessing=recipe.encoder_preprocessing), from_pretrained(model)):
        bank, queries = (extract(encoder, split.paths, batch_size=256, workers=2) for split in splits)
        accuracies.append(knn_accuracy(bank, labels[0], queries, labels[1]))
    untrained, pretrained = accuracies
    assert pretrained > untrained + 0.06, accuracies


def test_natural_pictures_of_every_size_embed(data_root, model_folder, tmp_path):
    for name, count in (("raccoon_det", 200), ("bccd", 364)):
        report = embed_folder(model_folder, data_root / name, tmp_path / f"{name}.parquet", progress=False)
        assert (report.rows, report.skipped) == (count, ())
