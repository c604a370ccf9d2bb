import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.evaluate import knn_accuracy
from sslhsic_transfer.evaluate.probe import evaluate


def test_measures_model_and_floors_in_both_tasks(model_folder, digits):
    results = evaluate(
        model_folder, ["knn", "linear"], train=digits / "train", test=digits / "test", floors=True, k=5, progress=False
    )
    assert [(result.model, result.task) for result in results] == [
        (name, task) for name in ("raw pixels", "untrained resnet18", str(model_folder)) for task in ("knn", "linear")
    ]
    for result in results:
        assert result.n == 24
        assert result.split == "test"
        assert 1 / 3 < result.value <= 1
    assert results[-1].weights_sha256 == sha256_of_file(model_folder / "model.safetensors")
    assert "k=5" in results[0].protocol

    encoder = from_pretrained(model_folder)
    rows, labels = [], []
    for split in ("train", "test"):
        paths = sorted((digits / split).rglob("*.jpg"))
        rows.append(encoder.embed(paths))
        labels.append(torch.tensor([int(path.parent.name) for path in paths]))
    assert results[4].value == knn_accuracy(rows[0], labels[0], rows[1], labels[1], k=5)


def test_validation_folder_serves_the_choice(model_folder, digits):
    (result,) = evaluate(
        model_folder,
        ["linear"],
        train=digits / "train",
        test=digits / "test",
        validation=digits / "test",
        progress=False,
    )
    assert "chosen on test" in result.protocol


def test_folders_must_have_the_same_classes(model_folder, digits):
    with pytest.raises(DataError, match="no classes"):
        evaluate(model_folder, ["knn"], train=digits / "train", test=digits / "test" / "0")
    with pytest.raises(DataError, match="test, train in one of them only"):
        evaluate(model_folder, ["knn"], train=digits / "train", test=digits)
