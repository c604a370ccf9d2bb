"""Classifiers: fine-tuned, measured, loaded again."""

import json

import numpy as np
import pytest
import torch

from sslhsic_transfer import Preprocessing, from_pretrained
from sslhsic_transfer.adapters.data.classification import find_classification
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.classification import ClassificationExamples, at_size
from sslhsic_transfer.transfer.evaluation import evaluate_classification
from sslhsic_transfer.transfer.settings import ClassificationSettings

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
    assert few.task == "classification, 0.1 of labels"
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


def test_another_size_keeps_the_share_of_the_picture():
    assert at_size(Preprocessing(), 112) == Preprocessing(resize=128, crop=112)
    assert at_size(Preprocessing(), None) == Preprocessing()


def test_accuracies_by_hand(digits, tmp_path):
    class Given:
        """Always class 5, then 1."""

        def of(self, pictures):
            return np.tile(np.float32([0.1, 0.2, 0.7]), (len(pictures), 1))

    data = find_classification(digits, "test")
    uneven = data.listed(_list(tmp_path, data, (0, 1, 2, 3, 8, 16, 17, 18)))
    assert evaluate_classification(Given(), uneven) == {
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
