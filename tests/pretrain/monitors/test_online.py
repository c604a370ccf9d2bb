import shutil

import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.embed.extract import extract
from sslhsic_transfer.evaluate.knn import knn_accuracy
from sslhsic_transfer.evaluate.rank import rankme
from sslhsic_transfer.evaluate.ridge import ridge_accuracy
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.pretrain.data import find_data
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.recipe import MonitorSettings


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
    assert "72 training pictures" in records["linear"].protocol


def test_a_sample_is_spread_over_the_classes(encoder, digits):
    evaluation = OnlineEvaluation(find_data(digits), MonitorSettings(images=9))
    assert len(evaluation.bank) == 9
    assert evaluation.bank.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


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
