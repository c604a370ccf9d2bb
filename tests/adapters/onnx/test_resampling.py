"""Bytes and maps resized without torch are those that torch gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from sslhsic_transfer.adapters.onnx.runtime.resampling import resize_bytes, resize_maps

SIDE = st.integers(1, 120)


def noise(height, width, seed, extreme=False):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(picture > 127, 255, 0).astype(np.uint8) if extreme else picture


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@given(SIDE, SIDE, SIDE, SIDE, st.integers(0, 2**31), st.booleans())
@settings(deadline=None, max_examples=40)
def test_bytes_are_those_of_torch(interpolation, antialias, height, width, new_height, new_width, seed, extreme):
    picture = noise(height, width, seed, extreme)
    expected = resize(
        torch.from_numpy(picture).permute(2, 0, 1),
        [new_height, new_width],
        interpolation=InterpolationMode(interpolation),
        antialias=antialias,
    )
    found = resize_bytes(picture, (new_height, new_width), interpolation, antialias)
    assert found.dtype == np.uint8
    # A weight that lies just between two whole numbers may be rounded otherwise, for one row or column.
    assert np.abs(found.astype(int) - expected.permute(1, 2, 0).numpy()).max() <= 1


@pytest.mark.parametrize("size", [((375, 500), (256, 341)), ((64, 48), (110, 82)), ((500, 20), (250, 10))])
def test_photograph_sizes_do_not_differ_in_one_value(size):
    (height, width), new = size
    picture = noise(height, width, 0)
    expected = resize(
        torch.from_numpy(picture).permute(2, 0, 1), list(new), interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    np.testing.assert_array_equal(resize_bytes(picture, new, "bicubic", True), expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_window_is_a_part_of_the_whole(interpolation, antialias):
    picture = noise(90, 70, 0)
    rows, columns = slice(5, 29), slice(3, 40)
    whole = resize_bytes(picture, (40, 44), interpolation, antialias)
    part = resize_bytes(picture, (40, 44), interpolation, antialias, rows, columns)
    np.testing.assert_array_equal(part, whole[rows, columns])


@given(st.integers(1, 4), SIDE, SIDE, SIDE, SIDE, st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_maps_are_those_of_torch(channels, height, width, new_height, new_width, seed):
    maps = np.random.default_rng(seed).standard_normal((channels, height, width)).astype(np.float32)
    found = resize_maps(maps, new_height, new_width)
    expected = F.interpolate(
        torch.from_numpy(maps)[None], size=(new_height, new_width), mode="bilinear", align_corners=False
    )[0].numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
