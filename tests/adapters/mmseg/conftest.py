from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import sslhsic_transfer.adapters.mmseg  # noqa: F401 - before any test imports mmseg itself, which warns
from sslhsic_transfer.data.labelled.segmentation import SegmentationData, find_segmentation


@pytest.fixture(scope="session")
def camvid(data_root):
    """Give a function from a split and a count to the first pictures of a real data set."""
    root = data_root / "camvid"
    if not root.is_dir():
        pytest.skip(f"no CamVid at {root}: set SSLHSIC_DATA")

    def first(split: str, count: int) -> SegmentationData:
        data = find_segmentation(root, split)
        return replace(data, pairs=data.pairs[:count])

    return first


@pytest.fixture
def made(tmp_path):
    """Make a folder of two drawn pictures for each split, with masks of three classes and ignored pixels."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / folder / split).mkdir(parents=True)
        for name in ("a", "b"):
            mask = random.integers(0, 3, (80, 96)).astype(np.uint8)
            mask[:9] = 255
            Image.fromarray(mask).save(tmp_path / "masks" / split / f"{name}.png")
            picture = (mask[..., None] * 80).repeat(3, axis=2).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / split / f"{name}.png")
    (tmp_path / "classes.txt").write_text("one\ntwo\nthree\n")
    return tmp_path
