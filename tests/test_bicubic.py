"""Bicubic resizing without a filter against PyTorch's, where both have the same taps, and against a slow twin."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sslhsic_transfer import _bicubic
from sslhsic_transfer._bicubic import bicubic_taps, resize_bicubic
from tests.references.tensorflow_resize import weights


def matrix(inputs: int, outputs: int) -> np.ndarray:
    indices, values = bicubic_taps(inputs, outputs)
    found = np.zeros((outputs, inputs), np.float32)
    np.add.at(found, (np.arange(outputs)[:, None], indices), values)
    return found


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 9), (16, 33), (20, 20)])
def test_enlarges_as_pytorch_does(inputs, outputs):
    """PyTorch's antialiased bicubic has the same kernel, and does not widen it to enlarge."""
    line = torch.rand(1, 1, 4, inputs)
    expected = F.interpolate(line, (4, outputs), mode="bicubic", antialias=True)
    found = line @ torch.from_numpy(matrix(inputs, outputs)).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 4), (2, 3), (300, 7), (7, 300), (448, 224), (328, 224)])
def test_weights_are_the_twins(inputs, outputs):
    np.testing.assert_allclose(matrix(inputs, outputs), weights(inputs, outputs), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 12), (90, 50)])
def test_pictures_are_the_twins_in_blocks_too(height, width, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = resize_bicubic(picture, 40, 33)
    expected = np.einsum("yh,hwc,xw->yxc", weights(height, 40), picture, weights(width, 33)).clip(0, 255)
    assert np.abs(whole - expected).max() <= 0.5 + 1e-4
    monkeypatch.setattr(_bicubic, "_BLOCK", 1000)
    np.testing.assert_array_equal(resize_bicubic(picture, 40, 33), whole)
