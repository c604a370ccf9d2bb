from pathlib import Path

import pytest

from sslhsic_transfer.results import new_result, save_results
from tools import tables

ROOT = Path(__file__).parents[2]


def test_documents_hold_what_was_measured():
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert tables.filled(text) == text, f"{path} is out of date: python tools/tables.py"


def test_a_table_has_models_last_and_the_best_in_bold(monkeypatch):
    common = {"dataset": "digits", "split": "test", "protocol": "p", "n": 9}
    records = [
        new_result(model=model, task=task, metric=metric, value=value, **common)
        for model, task, metric, value in (
            ("sslhsic-r18", "knn", "top-1", 0.7),
            ("raw pixels", "knn", "top-1", 0.5),
            ("sslhsic-r18", "linear", "top-1", 0.6),
        )
    ]
    monkeypatch.setattr(tables, "_shipped", lambda: records)
    assert tables.filled("a\n<!-- table global -->\nold\n<!-- end of table -->\nz\n").splitlines() == [
        "a",
        "<!-- table global -->",
        "| data | task | raw pixels | **sslhsic-r18** |",
        "|---|---|---|---|",
        "| digits, test | 20-NN | 50.0 % | **70.0 %** |",
        "| digits, test | linear probe | – | **60.0 %** |",
        "<!-- end of table -->",
        "z",
    ]


def test_where_less_is_better(monkeypatch):
    common = {"dataset": "rooms", "split": "test", "protocol": "p", "n": 9, "task": "depth", "metric": "rmse"}
    records = [new_result(model=model, value=value, **common) for model, value in (("a", 0.25), ("sslhsic-r18", 0.125))]
    monkeypatch.setattr(tables, "_shipped", lambda: records)
    assert "| rooms, test | depth, rmse | 0.250 | **0.125** |" in tables.filled(
        "<!-- table dense -->\n<!-- end of table -->"
    )


def test_frameworks_have_lines_of_their_own(monkeypatch):
    common = {"dataset": "streets", "split": "test", "protocol": "p", "n": 9, "task": "segmentation", "metric": "mIoU"}
    records = [
        new_result(model="sslhsic-r18", framework=framework, value=value, **common)
        for framework, value in (("torchvision", 0.25), ("mmseg", 0.5))
    ]
    monkeypatch.setattr(tables, "_shipped", lambda: records)
    table = tables.filled("<!-- table dense -->\n<!-- end of table -->")
    assert "| streets, test (torchvision) | segmentation, mIoU | **25.0 %** |" in table
    assert "| streets, test (mmseg) | segmentation, mIoU | **50.0 %** |" in table


def test_an_unknown_table_is_refused():
    with pytest.raises(KeyError, match="nothing"):
        tables.filled("<!-- table nothing -->\n<!-- end of table -->")


def test_records_with_the_pinned_weights_get_the_short_name(monkeypatch, tmp_path):
    name, model = next(iter(tables.ZOO.items()))
    common = {"dataset": "d", "split": "test", "protocol": "p", "n": 9, "task": "knn", "metric": "top-1", "value": 0.5}
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "model_cards" / name).mkdir(parents=True)
    records = [
        new_result(model="RUN/model", weights_sha256=model.sha256, **common),
        new_result(model="older", weights_sha256="0" * 64, **common),
    ]
    save_results(tmp_path / "model_cards" / name / "results.json", records)
    assert [result.model for result in tables._shipped()] == [name, "older"]


def test_models_have_their_networks_and_figures_of_two_data_sets(monkeypatch):
    common = {"split": "test", "protocol": "p", "n": 9, "metric": "top-1"}
    records = [
        new_result(model=model, dataset=dataset, task=task, value=value, **common)
        for model, dataset, task, value in (
            ("raw pixels", "imagenette128", "knn", 0.25),
            ("sslhsic-r18", "imagenette128", "knn", 0.75),
            ("sslhsic-r18", "cifar10_12k", "linear", 0.5),
            ("elsewhere", "flowers5", "knn", 0.5),
        )
    ]
    monkeypatch.setattr(tables, "_shipped", lambda: records)
    _, _, *rows = tables.TABLES["models"]().splitlines()
    assert rows == [
        "| `sslhsic-r18` | ResNet-18 | 512 | 75.0 % |  |  | 50.0 % |",
        "| raw pixels | – | – | 25.0 % |  |  |  |",
    ]
