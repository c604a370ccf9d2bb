import shutil

import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources import PretrainingData, find_data
from sslhsic_transfer.embed.extract import extract
from sslhsic_transfer.metrics.knn import knn_accuracy
from sslhsic_transfer.metrics.rank import rankme
from sslhsic_transfer.metrics.ridge import ridge_accuracy
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.sections import MonitorSettings


@pytest.fixture(scope="module")
def encoder(model_folder):
    return from_pretrained(model_folder)


@pytest.fixture(scope="module")
def with_validation(digits, tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "digits"
    shutil.copytree(digits, root)
    (root / "test").rename(root / "val")
    return root


def rows(encoder, root):
    import torch

    folder = ImageFolder.scan(root)
    return extract(encoder, folder.paths), torch.tensor(folder.labels)


def test_training_pictures_query_one_another(encoder, digits):
    values, labels = rows(encoder, digits / "train")
    figures = OnlineEvaluation(find_data(digits), MonitorSettings(knn_k=5))(encoder)
    assert figures == {
        "knn": knn_accuracy(values, labels, k=5),
        "linear": ridge_accuracy(values, labels),
        "rankme": pytest.approx(rankme(values), rel=1e-6),
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_pictures_query_the_training_pictures(encoder, with_validation, workers):
    bank, queries = rows(encoder, with_validation / "train"), rows(encoder, with_validation / "val")
    evaluation = OnlineEvaluation(find_data(with_validation), MonitorSettings())
    figures = evaluation(encoder, workers)
    assert figures["knn"] == pytest.approx(knn_accuracy(*bank, *queries, k=20))
    assert figures["linear"] == pytest.approx(ridge_accuracy(*bank, *queries))
    records = {record.task: record for record in evaluation.records(figures, model="m", dataset="digits", seeds=[3])}
    assert {task: (record.split, record.n) for task, record in records.items()} == {
        "knn": ("val", 24),
        "linear": ("val", 24),
        "rankme": ("train", 72),
    }
    assert "k=20" in records["knn"].protocol
    assert "72 pictures of train" in records["linear"].protocol


def test_a_sample_is_spread_over_the_classes(encoder, digits):
    evaluation = OnlineEvaluation(find_data(digits), MonitorSettings(images=9))
    assert len(evaluation.bank) == 9
    assert evaluation.bank.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_order_of_the_pictures_does_not_matter(digits):
    """Labels 0, 1, 2, 0, 1, 2, …: every third of these pictures would be of one class."""
    sorted_ = ImageFolder.scan(digits / "train")
    order = sorted(range(72), key=lambda index: (index % 24, index // 24))
    paths, labels = (tuple(values[index] for index in order) for values in (sorted_.paths, sorted_.labels))
    assert labels[:6] == (0, 1, 2, 0, 1, 2)
    mixed = ImageFolder(sorted_.root, paths, sorted_.classes, labels)
    settings = MonitorSettings(images=24)
    first, second = (OnlineEvaluation(PretrainingData("x", pictures), settings).bank for pictures in (sorted_, mixed))
    assert first.labels.bincount().tolist() == second.labels.bincount().tolist() == [8, 8, 8]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))


def test_a_labelled_validation_split_serves_alone(encoder, digits):
    data = PretrainingData("x", ImageFolder.scan(digits / "train" / "0"), ImageFolder.scan(digits / "test"))
    evaluation = OnlineEvaluation(data, MonitorSettings(knn_k=5))
    figures = evaluation(encoder)
    assert figures["knn"] == knn_accuracy(*rows(encoder, digits / "test"), k=5)
    assert {record.split for record in evaluation.records(figures, model="m", dataset="x")} == {"val"}


def test_pictures_without_labels_have_a_rank(encoder, digits):
    figures = OnlineEvaluation(find_data(digits / "train" / "0"), MonitorSettings())(encoder)
    assert set(figures) == {"rankme"}
    assert 1 < figures["rankme"] < 24


def test_unreadable_pictures_are_left_out(encoder, digits, tmp_path):
    shutil.copytree(digits / "train", tmp_path / "d")
    first = min((tmp_path / "d").rglob("*.jpg"))
    first.write_bytes(b"no picture")
    damaged = OnlineEvaluation(find_data(tmp_path / "d"), MonitorSettings(knn_k=5))(encoder)
    first.unlink()
    assert damaged == OnlineEvaluation(find_data(tmp_path / "d"), MonitorSettings(knn_k=5))(encoder)
