"""Preprocessing without torch equals the torch transform within one step of 255."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslhsic_transfer import Preprocessing, from_pretrained
from sslhsic_transfer.adapters.onnx.runtime.pictures import (
    normalized,
    resized,
    resized_size,
    with_short_side,
    with_shortest_edge,
)
from sslhsic_transfer.data.images import to_uint8_array
from sslhsic_transfer.sample import sign_digits
from sslhsic_transfer.transfer.tasks.augmentation import bytes_at

DIGITS = sorted((sign_digits().root / "test").rglob("*.jpg"))[::40]


def steps(picture, preprocessing):
    """Return the differences in steps of 255, over all values."""
    own = normalized(resized(to_uint8_array(picture), preprocessing), preprocessing)
    expected = preprocessing.transform()(picture).numpy()
    assert own.dtype == expected.dtype
    assert own.shape == expected.shape
    scale = 255 * np.asarray(preprocessing.std)[:, None, None]
    return np.abs((own - expected) * scale)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("resize", "crop"), [(73, 64), (144, 128), (40, 32), (64, 64)])
def test_real_pictures(interpolation, antialias, resize, crop):
    preprocessing = Preprocessing(resize=resize, crop=crop, interpolation=interpolation, antialias=antialias)
    found = np.concatenate([steps(path, preprocessing).ravel() for path in DIGITS])
    assert found.max() < 1.01
    assert found.mean() < 0.01


@pytest.mark.parametrize(("resize", "crop"), [(73, 64), (40, 32), (256, 224)])
def test_real_pictures_cut_out_before_they_are_resized(resize, crop):
    preprocessing = Preprocessing(resize=resize, crop=crop, antialias=False, style="byol-jax")
    assert max(steps(path, preprocessing).max() for path in DIGITS) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["imagenette128/val", "flowers5/test", "dtd10/test"])
def test_photographs_with_the_shipped_preprocessing(folder, data_root):
    preprocessing = from_pretrained("sslhsic-r18").preprocessing
    paths = sorted((data_root / folder).rglob("*.jp*g"))[::4][:400]
    assert len(paths) > 30
    assert max(steps(path, preprocessing).max() for path in paths) < 1.01


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(32, 80),
    st.sampled_from(["nearest", "bilinear", "bicubic"]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_noise_of_any_size(height, width, resize, interpolation, antialias, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    preprocessing = Preprocessing(resize=resize, crop=32, interpolation=interpolation, antialias=antialias)
    assert steps(picture, preprocessing).max() < 1.01


@pytest.mark.parametrize(
    ("size", "expected"), [((375, 500), (256, 341)), ((500, 375), (341, 256)), ((256, 256), (256, 256))]
)
def test_the_long_side_is_rounded_down(size, expected):
    assert resized_size(*size, 256) == expected


def test_gray_pictures_and_other_statistics():
    preprocessing = Preprocessing(resize=40, crop=36, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    picture = np.random.default_rng(0).integers(0, 256, (50, 60), dtype=np.uint8)
    assert steps(picture, preprocessing).max() < 1.01


@given(st.integers(1, 90), st.integers(1, 90), st.integers(20, 80), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_dense_pictures_are_resized_as_in_torch(height, width, short, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = bytes_at(Image.fromarray(picture), short).permute(1, 2, 0).numpy()
    found = with_short_side(picture, short)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (30, 200), (97, 55)])
def test_detectors_pictures_are_resized_as_in_detectron2(size):
    pytest.importorskip("detectron2")
    from sslhsic_transfer.adapters.detectron2.detector import transforms

    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    edge = transforms.ResizeShortestEdge([40, 40], 90)
    np.testing.assert_array_equal(with_shortest_edge(picture, 40, 90), edge.get_transform(picture).apply_image(picture))
