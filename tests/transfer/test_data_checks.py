"""Data that cannot be learned from or measured on are refused before a run begins."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer import transfer
from tests.dense_data import SIZE, depth_lists, segmentation_lists

SEGMENTATION = (
    *("workers=0", "warmup=3", "log_every=5", "iterations=20", "batch_size=4", "crop=[48,64]", "scale=[0.8,1.25]"),
    "learning_rate=1e-3",
)


def half_size(path):
    with Image.open(path) as image:
        image.resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.NEAREST).save(path)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("task", "framework"), [("segmentation", "torchvision"), ("segmentation", "mmseg"), ("depth", "depth")]
)
def test_maps_of_another_size_are_refused_before_anything_is_trained(model_folder, tmp_path, task, framework, split):
    data = (segmentation_lists if task == "segmentation" else depth_lists)(tmp_path / "scenes")
    first = (data / f"{split}.txt").read_text().split()[1]
    half_size(data / first)
    with pytest.raises(
        DataError, match=rf"(?s)1 of \d .*{split}.* has 80 × 60 pixels and its .*{first} 40 × 30; expected"
    ):
        transfer(task, model_folder, data, tmp_path / "run", framework=framework, progress=False)
    assert not (tmp_path / "run").exists()


def test_black_and_white_masks_are_refused_or_told_of(model_folder, tmp_path):
    data = segmentation_lists(tmp_path / "scenes")
    for path in data.glob("*annot/*.png"):
        with Image.open(path) as mask:
            Image.fromarray(np.where(np.asarray(mask) == 1, 255, 0).astype(np.uint8)).save(path)
    arguments, options = ("segmentation", model_folder, data, tmp_path / "run"), {"progress": False}
    with pytest.raises(
        DataError, match=r"No pixel has the class square: .* hold 0, 255, .* such as mask_values=\[0,255\]"
    ):
        transfer(*arguments, overrides=SEGMENTATION, **options)
    assert not (tmp_path / "run").exists()
    results = transfer(*arguments, overrides=(*SEGMENTATION, "mask_values=[0,255]"), **options)
    assert results[0].value > 0.6, "mIoU; all ground: 0.45"
    assert "mask_values" not in results[0].protocol


def test_depth_that_teaches_nothing_is_refused(model_folder, tmp_path):
    data = depth_lists(tmp_path / "scenes")
    with pytest.raises(DataError, match=r"The depths of .* go from 1e\+03 to 3e\+03 m, .* units_per_meter=1000 for"):
        transfer("depth", model_folder, data, tmp_path / "run", overrides=["units_per_meter=1"], progress=False)
    assert not (tmp_path / "run").exists()


def test_splits_may_be_named_by_numbers(model_folder, digits, tmp_path):
    for split, name in (("train", "2007"), ("test", "0")):
        shutil.copytree(digits / split, tmp_path / "years" / name)
    settings = ("iterations=1", "warmup=0", "batch_size=2", "size=32", "workers=0", "train=2007", "test=0")
    results = transfer(
        "classification", model_folder, tmp_path / "years", tmp_path / "run", overrides=settings, progress=False
    )
    assert (results[0].dataset, results[0].split, results[0].n) == ("years", "0", 24)
    again = transfer(
        "classification",
        model_folder,
        tmp_path / "years",
        tmp_path / "run",
        overrides=settings,
        resume=True,
        progress=False,
    )
    assert [result.value for result in again] == [result.value for result in results]
