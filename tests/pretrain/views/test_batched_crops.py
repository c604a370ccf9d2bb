import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import collate_crops, cut_batch, cut_views, draw_views
from tests.fake_cuda import CUDA, fake_cuda


def photographs(sizes, seed=0):
    """Draw smooth shapes with some noise."""
    generator = np.random.default_rng(seed)
    for width, height in sizes:
        y, x = np.mgrid[:height, :width] / generator.uniform(4, 20)
        waves = np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(3 * y)], axis=2)
        pixels = 127 + 90 * waves + generator.normal(0, 8, waves.shape)
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def as_batch(pictures):
    """Pixels, first pixels and row lengths as `cut_batch` takes them."""
    rows = [torch.from_numpy(np.array(picture)).reshape(-1, 3) for picture in pictures]
    counts = torch.tensor([len(row) for row in rows])
    return torch.cat(rows), counts.cumsum(0) - counts, torch.tensor([picture.width for picture in pictures])


def differences(pictures, originals, views, seed=0):
    """Absolute differences from the crops of single pictures, in steps of 255, (2, B, 3, size, size)."""
    draws = [draw_views(seed + number, views, *size) for number, size in enumerate(originals)]
    singly = [
        cut_views(picture, size, draw, views) for picture, size, draw in zip(pictures, originals, draws, strict=True)
    ]
    found = []
    for view in (0, 1):
        crops = collate_crops([draw[view] for draw in draws], originals, [picture.size for picture in pictures])
        pixels, colors = cut_batch(*as_batch(pictures), crops, views)
        assert pixels.dtype == torch.uint8
        assert colors.sigma.tolist() == [draw[view].colors.sigma for draw in draws]
        found.append((pixels.float() - torch.stack([single[view].pixels for single in singly]).float()).abs())
    return torch.stack(found)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=5),
    size=st.sampled_from([32, 48, 65]),
    style=st.sampled_from(["torchvision", "byol-jax"]),
    seed=st.integers(0, 1000),
)
def test_a_batch_is_cropped_as_its_pictures_are_one_by_one(sizes, size, style, seed):
    """Pillow chooses which axis comes first, and rounds between the two: a few steps where edges are sharp."""
    views = AugmentationSettings(size=size, style=style, crop_area=(0.2, 1.0))
    found = differences(list(photographs(sizes, seed)), sizes, views, seed)
    assert found.mean() <= 0.5
    assert found.max() <= 16


def test_a_gpus_arithmetic_stays_within_a_step_of_255(monkeypatch):
    from sslhsic_transfer.pretrain.views import batched_crops

    monkeypatch.setattr(batched_crops, "_arithmetic", lambda device: torch.float16)
    sizes = [(120, 90), (64, 200), (77, 77), (500, 375)]
    found = differences(list(photographs(sizes)), sizes, AugmentationSettings(size=64, crop_area=(0.2, 1.0)))
    assert found.mean() <= 0.5


@pytest.mark.parametrize("share", [0.37, 0.8])
def test_shrunken_copies_are_cropped_at_the_same_place(share):
    sizes = [(120, 90), (64, 200), (77, 77)]
    shrunk = [
        picture.resize((round(width * share), round(height * share)), Image.Resampling.BICUBIC)
        for picture, (width, height) in zip(photographs(sizes), sizes, strict=True)
    ]
    assert differences(shrunk, sizes, AugmentationSettings(size=32, crop_area=(0.2, 1.0))).mean() <= 0.5


def test_a_large_batch_is_cropped_in_parts_alike(monkeypatch):
    from sslhsic_transfer.pretrain.views import batched_crops

    sizes = [(50, 40), (90, 33), (41, 41), (64, 64), (39, 70)]
    pictures, views = list(photographs(sizes)), AugmentationSettings(size=32)
    crops = collate_crops([draw_views(number, views, *size)[0] for number, size in enumerate(sizes)], sizes, sizes)
    whole = cut_batch(*as_batch(pictures), crops, views)
    monkeypatch.setattr(batched_crops, "_VALUES_AT_A_TIME", 2 * 3 * 96 * 96)
    parts = cut_batch(*as_batch(pictures), crops, views)
    assert torch.equal(whole.pixels, parts.pixels)


def test_crops_are_made_on_the_device_of_the_pixels_from_numbers_on_the_cpu():
    sizes, views = [(50, 40), (90, 33)], AugmentationSettings(size=32)
    crops = collate_crops([draw_views(0, views, *size)[0] for size in sizes], sizes, sizes)
    with fake_cuda():
        pixels = torch.empty(50 * 40 + 90 * 33, 3, dtype=torch.uint8, device=CUDA)
        starts, widths = torch.tensor([0, 2000]).to(CUDA), torch.tensor([50, 90]).to(CUDA)
        made = cut_batch(pixels, starts, widths, crops, views)
    assert (made.pixels.shape, made.pixels.device) == ((2, 3, 32, 32), CUDA)
