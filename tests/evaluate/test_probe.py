import pytest
import torch
from PIL import Image

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.evaluate import knn_accuracy
from sslhsic_transfer.evaluate.features import pixel_features
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


def test_what_depends_on_a_seed_is_repeated(model_folder, digits):
    options = {"train": digits / "train", "test": digits / "test", "floors": True, "k": 5, "progress": False}
    several = evaluate(model_folder, ["knn", "linear"], seeds=(3, 4), **options)
    seeds = {(result.model, result.task): result.seeds for result in several}
    assert seeds == {
        ("raw pixels", "knn"): [3],
        ("raw pixels", "linear"): [3, 4],
        ("untrained resnet18", "knn"): [3, 4],
        ("untrained resnet18", "linear"): [3, 4],
        (str(model_folder), "knn"): [3],
        (str(model_folder), "linear"): [3, 4],
    }
    alone = [evaluate(model_folder, ["knn"], seeds=[seed], **options)[1].value for seed in (3, 4)]
    untrained = several[2]
    assert untrained.value == pytest.approx(sum(alone) / 2)
    assert untrained.std == pytest.approx(abs(alone[0] - alone[1]) / 2**0.5)


def test_no_seed_matters_where_a_folder_serves_the_choice(model_folder, digits):
    folders = {"train": digits / "train", "test": digits / "test", "validation": digits / "test"}
    (result,) = evaluate(model_folder, ["linear"], seeds=(3, 4), progress=False, **folders)
    assert (result.seeds, result.std) == ([3], None)


def test_raw_pixels_are_shrunk_colors_from_minus_one_to_one(tmp_path):
    for name, color in (("a", (255, 0, 51)), ("b", (0, 255, 255))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 30), color).save(tmp_path / name / "0.png")
    found = pixel_features(ImageFolder.scan(tmp_path), side=2)
    expected = torch.tensor([[1, -1, -0.6], [-1, 1, 1]]).repeat_interleave(4, dim=1)
    torch.testing.assert_close(found.values, expected)
    assert found.labels.tolist() == [0, 1]


def test_without_a_seed_there_is_nothing_to_measure(model_folder, digits):
    with pytest.raises(ConfigError, match="no seeds"):
        evaluate(model_folder, ["knn"], train=digits / "train", test=digits / "test", seeds=())
