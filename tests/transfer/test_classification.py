"""Classifiers: fine-tuned, measured, loaded again."""

import json
import shutil

import numpy as np
import pytest
import torch

from sslhsic_transfer import Preprocessing, from_pretrained
from sslhsic_transfer.adapters.onnx import LinearHead, OnnxEncoder, export
from sslhsic_transfer.data.labelled.classification import find_classification
from sslhsic_transfer.errors import ConfigError, DataError, InputError, VerificationError
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.evaluation import evaluate_classification
from sslhsic_transfer.transfer.onnx_export import export_transferred, verify_transferred
from sslhsic_transfer.transfer.tasks.classification import ClassificationExamples, ClassificationSettings

SETTINGS = ("test=test", "workers=0", "warmup=3", "log_every=5", "batch_size=24", "iterations=20", "crop_area=[0.6,1]")


@pytest.fixture(scope="module")
def classified(pretrained_folder, digits, tmp_path_factory):
    run = tmp_path_factory.mktemp("classification") / "run"
    return run, transfer("classification", pretrained_folder, digits, run, overrides=SETTINGS, progress=False)


def test_learns_and_is_told_of(classified, digits, pretrained_folder):
    run, results = classified
    assert [(result.task, result.metric) for result in results] == [
        ("classification", "top-1"),
        ("classification", "mean per class"),  # of three classes there is no top-5
    ]
    assert results[0].value > 0.85, "by chance 0.33"
    assert (results[0].dataset, results[0].split, results[0].n) == (digits.name, "test", 24)
    assert results[0].weights_sha256 == from_pretrained(pretrained_folder).weights_sha256
    assert json.loads((run / "evaluation.json").read_text()).keys() == {
        *("top-1", "mean per class", "accuracy 0", "accuracy 1", "accuracy 5")
    }


def test_what_was_trained_loads_and_tells_classes(classified, digits):
    run, results = classified
    model = load_transferred(run / "model", "cpu")
    test = find_classification(digits, "test")
    scores = np.stack([model.predict(path) for path in test.folder.paths])
    assert (scores.dtype, scores.shape) == (np.float32, (24, 3))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert (scores.argmax(axis=1) == np.asarray(test.folder.labels)).mean() == results[0].value
    assert model.draw(test, count=2).height > 100


def test_few_labels_are_a_task_of_their_own(pretrained_folder, digits, tmp_path):
    settings = (*SETTINGS, "iterations=4", "batch_size=6", "label_share=0.1", "freeze_at=5")
    arguments = ("classification", pretrained_folder, digits)
    (few, _) = transfer(*arguments, tmp_path / "a", overrides=settings, progress=False)
    assert few.task == "classification, 10 % of labels"
    model = load_transferred(tmp_path / "a" / "model", "cpu")
    assert model.config.data == f"{digits.name}, train: 6 pictures"
    encoder = from_pretrained(pretrained_folder)
    assert all(model.network.state_dict()[name].equal(value) for name, value in encoder.state_dict().items())
    names = [path.name for path in find_classification(digits, "train").share(0.1, 0).folder.paths]
    (tmp_path / "six.txt").write_text("\n".join(names))
    settings = (*settings, "label_share=1", f"label_list={tmp_path / 'six.txt'}")
    (same, _) = transfer(*arguments, tmp_path / "b", overrides=settings, progress=False)
    assert same.task == "classification, labels of six.txt"
    assert same.value == few.value


@pytest.mark.parametrize(
    ("overrides", "error", "found"),
    [
        (("label_share=0.5", "label_list=a.txt"), ConfigError, "expected one of the two"),
        (("crop_area=[0.5,0.2]",), ConfigError, r"crop_area is \[0\.5, 0\.2\]"),
        (("label_share=0.1",), DataError, r"6 training pictures, fewer than a batch of 24: lower batch_size"),
    ],
)
def test_settings_that_cannot_be_used(model_folder, digits, tmp_path, overrides, error, found):
    with pytest.raises(error, match=found):
        transfer(
            "classification", model_folder, digits, tmp_path / "run", overrides=(*SETTINGS, *overrides), progress=False
        )


def test_examples_are_a_function_of_their_seed(digits):
    data = find_classification(digits, "train")
    examples = ClassificationExamples(data, ClassificationSettings(), Preprocessing.for_size(64))
    picture, label = examples[40, 7]
    assert (picture.shape, picture.dtype, label) == ((3, 64, 64), torch.float32, data.folder.labels[40])
    assert picture.equal(examples[40, 7][0])
    assert not picture.equal(examples[40, 8][0])


def test_the_size_is_the_named_models_and_is_told(classified, digits, tmp_path):
    run, results = classified
    assert load_transferred(run / "model", "cpu").config.build_task().settings.size == 64
    assert "size 64" in results[0].protocol
    settings = (*SETTINGS, "iterations=1", "warmup=0")
    transfer("classification", "resnet18", digits, tmp_path / "a", init="random", overrides=settings, progress=False)
    assert load_transferred(tmp_path / "a" / "model", "cpu").config.build_task().settings.size == 224


def test_accuracies_by_hand(digits, tmp_path):
    def given(paths):
        """Always class 5, then 1."""
        return np.tile(np.float32([0.1, 0.2, 0.7]), (len(paths), 1))

    data = find_classification(digits, "test")
    uneven = data.listed(_list(tmp_path, data, (0, 1, 2, 3, 8, 16, 17, 18)))
    assert evaluate_classification(given, uneven) == {
        "top-1": 3 / 8,
        "mean per class": pytest.approx(1 / 3),
        "accuracy 0": 0.0,
        "accuracy 1": 0.0,
        "accuracy 5": 1.0,
    }


def _list(place, data, indices):
    path = place / "some.txt"
    path.write_text("\n".join(data.folder.paths[index].name for index in indices))
    return path


@pytest.fixture(scope="module")
def exported(classified, digits, tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    for name, options in {
        "fp32": {},
        "int8": {"precision": "int8", "calibration": digits / "train"},
        "pictures": {"input": "pictures", "outputs": ["pooled", "logits"]},
    }.items():
        export_transferred(classified[0] / "model", place / f"{name}.onnx", pictures=digits / "test", **options)
    return place


@pytest.mark.parametrize(("name", "atol"), [("fp32", 1e-5), ("pictures", 0.01), ("int8", 0.1)])
def test_exported_classifiers_give_the_same(name, atol, classified, exported, digits):
    paths = find_classification(digits, "test").folder.paths
    file = OnnxEncoder.from_pretrained(exported / f"{name}.onnx")
    assert file.info.classes == ("0", "1", "5")
    found = file.classify(paths, batch_size=7)
    assert (found.dtype, file.classify([]).shape) == (np.float32, (0, 3))
    model = load_transferred(classified[0] / "model", "cpu")
    np.testing.assert_allclose(found, np.stack([model.predict(path) for path in paths]), atol=atol)


def test_the_command_exports_and_verifies_classifiers(classified, exported, tmp_path, sslhsic_here):
    folder = classified[0] / "model"
    told = sslhsic_here("export", folder, "--output", tmp_path / "c.onnx", "--triton", tmp_path / "served").stdout
    assert "ok     agreement of the likeliest class on 100 pictures: 1" in told
    assert (tmp_path / "served" / "model" / "labels.txt").read_text() == "0\n1\n5\n"
    assert 'label_filename: "labels.txt"' in (tmp_path / "served" / "model" / "config.pbtxt").read_text()
    assert "likeliest class" in sslhsic_here("verify", exported / "fp32.onnx", folder).stdout


def test_a_file_of_another_classifier_is_told(classified, exported, tmp_path):
    other = tmp_path / "model"
    shutil.copytree(classified[0] / "model", other)
    config = json.loads((other / "transfer.json").read_text())
    (other / "transfer.json").write_text(json.dumps(config | {"classes": ["0", "1", "six"]}))
    with pytest.raises(VerificationError, match=r"classes: \('0', '1', '5'\) in the file, \('0', '1', 'six'\) here"):
        verify_transferred(exported / "fp32.onnx", other)


def test_a_classifiers_maps_need_no_head(classified, tmp_path, digits):
    export_transferred(classified[0] / "model", tmp_path / "maps.onnx", outputs=["c3"], pictures=digits / "test")
    assert set(OnnxEncoder.from_pretrained(tmp_path / "maps.onnx").specs) == {"c3"}


def test_heads_and_files_without_logits_are_told(model_folder, exported, tmp_path, digits):
    with pytest.raises(ConfigError, match="Got 2 classes for a layer of 3 outputs"):
        LinearHead(torch.nn.Linear(4, 3), ("a", "b"))
    export(from_pretrained(model_folder), tmp_path / "plain.onnx", pictures=digits / "test")
    with pytest.raises(InputError, match=r"expected some of what this file gives: pooled"):
        OnnxEncoder.from_pretrained(tmp_path / "plain.onnx").classify([next((digits / "test").rglob("*.jpg"))])
    with pytest.raises(ConfigError, match=r"Got outputs logits; expected some of pooled"):
        export(from_pretrained(model_folder), tmp_path / "odd.onnx", outputs=["logits"])
