import io
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from sslhsic_transfer.errors import ImageError
from sslhsic_transfer.pretrain.sections import AugmentationSettings, ViewSettings
from sslhsic_transfer.pretrain.views import two_views
from sslhsic_transfer.pretrain.views.draws import draw_crop


def photo(width: int, height: int) -> Image.Image:
    """Smooth shapes with some noise, as in a photograph."""
    y, x = np.mgrid[:height, :width] / 20
    waves = np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(3 * y)], axis=2)
    noise = np.random.default_rng(0).normal(0, 8, waves.shape)
    return Image.fromarray((127 + 90 * waves + noise).clip(0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return Image.open(buffer)


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize(("width", "height"), [(128, 96), (30, 300), (64, 64)])
def test_cuts_what_torchvision_cuts(width, height, flip):
    """Pillow's bicubic and torchvision's antialiased one differ by rounding."""
    settings, image = AugmentationSettings(size=48, flip=flip), photo(width, height)
    random = Random(5)
    for view, (box, flipped) in zip(
        two_views(image, 5, settings), [draw_crop(random, settings, width, height) for _ in range(2)], strict=True
    ):
        left, upper, right, lower = box
        expected = F.resized_crop(
            F.pil_to_tensor(image),
            upper,
            left,
            lower - upper,
            right - left,
            [48, 48],
            interpolation=InterpolationMode.BICUBIC,
            antialias=True,
        )
        assert flipped == bool(flip)
        expected = expected.flip(2) if flipped else expected
        assert view.pixels.dtype == torch.uint8
        assert view.pixels.is_contiguous()
        assert (view.pixels.int() - expected.int()).abs().max() <= 1


def test_a_large_jpeg_is_decoded_small_and_the_views_hardly_change(monkeypatch):
    settings = AugmentationSettings(size=32, crop_area=(0.3, 1.0))
    photograph = photo(1200, 800)
    jpeg = as_jpeg(photograph)
    views = two_views(jpeg, 3, settings)
    assert max(jpeg.size) < 1200, "decoded at its full size"
    whole = two_views(as_jpeg(photograph).copy(), 3, settings)  # decoded already
    for small, full in zip(views, whole, strict=True):
        assert small.colors == full.colors
        assert (small.pixels.float() - full.pixels.float()).abs().mean() < 3


def test_no_detail_is_lost_to_fast_decoding():
    """The decoded picture is never so small that a crop must be enlarged which need not have been."""
    settings = AugmentationSettings(size=100)
    for seed in range(40):
        jpeg = as_jpeg(photo(900, 600))
        random = Random(seed)
        boxes = [draw_crop(random, settings, 900, 600)[0] for _ in range(2)]
        two_views(jpeg, seed, settings)
        smallest = min(min(right - left, lower - upper) for left, upper, right, lower in boxes)
        assert smallest * jpeg.width / 900 >= min(100, smallest) - 1


def test_turned_pictures_are_cropped_upright():
    image = photo(200, 100)
    exif = image.getexif()
    exif[274] = 6
    settings = AugmentationSettings(size=32)
    turned = two_views(as_jpeg(image, exif=exif.tobytes()), 1, settings)
    upright = two_views(as_jpeg(image).transpose(Image.Transpose.ROTATE_270), 1, settings)
    for one, other in zip(turned, upright, strict=True):
        assert (one.pixels.int() - other.pixels.int()).abs().float().mean() < 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("style", ["torchvision", "byol-jax"])
def test_odd_pictures_give_views(mode, style):
    image = (
        Image.new("I;16", (7, 5), 900)
        if mode == "I;16"
        else photo(7, 5).convert("L" if mode == "F" else "RGB").convert(mode)
    )
    for view in two_views(image, 0, AugmentationSettings(size=32, style=style)):
        assert view.pixels.shape == (3, 32, 32)
    for view in two_views(Image.new("RGB", (1, 1), (9, 8, 7)), 0, AugmentationSettings(size=32, style=style)):
        assert view.pixels[:, 0, 0].tolist() == [9, 8, 7]


def test_byol_style_is_bicubic_without_antialiasing():
    """Against PyTorch's own where both have the same taps: enlarging, whose kernel antialiasing does not widen."""
    settings = AugmentationSettings(size=64, style="byol-jax", crop_area=(0.2, 0.4), flip=0)
    image = photo(40, 40)  # in which all such boxes fit, so that both styles draw the same
    for view, plain in zip(
        two_views(image, 2, settings),
        two_views(image, 2, settings.model_copy(update={"style": "torchvision"})),
        strict=True,
    ):
        assert (view.pixels.int() - plain.pixels.int()).abs().max() <= 1
    shrunk = AugmentationSettings(size=32, style="byol-jax", crop_area=(0.8, 0.9), crop_ratio=(1.0, 1.0))
    checks = Image.fromarray(np.indices((256, 256)).sum(axis=0).astype(np.uint8) % 2 * 255).convert("RGB")
    byol, antialiased = (
        two_views(checks, 4, shrunk.model_copy(update={"style": style}))[0] for style in ("byol-jax", "torchvision")
    )
    assert byol.pixels.float().std() > 10 * antialiased.pixels.float().std()


def test_each_view_has_the_colors_of_its_own_settings():
    settings = AugmentationSettings(
        size=32, view1=ViewSettings(blur=1.0, solarize=0.0), view2=ViewSettings(blur=0.0, solarize=1.0)
    )
    first, second = (view.colors for view in two_views(photo(40, 40), 0, settings))
    assert (first.sigma > 0, first.solarize) == (True, False)
    assert (second.sigma > 0, second.solarize) == (False, True)


def test_views_are_fixed_by_the_seed():
    image, settings = photo(64, 64), AugmentationSettings(size=32)
    first, second = two_views(image, 0, settings)
    again, _ = two_views(image, 0, settings)
    other, _ = two_views(image, 1, settings)
    assert torch.equal(first.pixels, again.pixels)
    assert first.colors == again.colors
    assert not torch.equal(first.pixels, second.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_a_damaged_picture_raises():
    buffer = io.BytesIO()
    photo(64, 64).save(buffer, "JPEG")
    with pytest.raises(ImageError, match="truncated"):
        two_views(Image.open(io.BytesIO(buffer.getvalue()[:-300])), 0, AugmentationSettings(size=32))
