import dataclasses

import pytest

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2 itself, which the tests import, too
from sslhsic_transfer.data.labelled.detection import DetectionData, find_detection


@pytest.fixture(scope="session")
def cells(blood_cells) -> tuple[DetectionData, DetectionData]:
    """Give a few pictures of blood cells to train on, and a few others."""
    train, val = (find_detection(blood_cells, split) for split in ("train", "val"))
    return dataclasses.replace(train, pictures=train.pictures[:6]), dataclasses.replace(val, pictures=val.pictures[:2])
