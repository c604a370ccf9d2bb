import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from sslhsic_transfer import Preprocessing
from sslhsic_transfer.errors import ConfigError, ImageError
from sslhsic_transfer.sample import sign_digits
from tests.references.tensorflow_resize import evaluated


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    path = next((sign_digits().test / "5").iterdir())
    return Image.open(path).convert("RGB").resize((150, 110), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_is_pillows_resize_crop_and_normalize(picture, interpolation):
    settings = Preprocessing(resize=64, crop=48, interpolation=interpolation)
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    small = picture.resize((87, 64), method)
    left, top = round((87 - 48) / 2), round((64 - 48) / 2)
    expected = np.asarray(small.crop((left, top, left + 48, top + 48)), np.float32) / 255
    found = settings.transform()(picture)
    assert found.shape == (3, 48, 48)
    assert found.dtype == torch.float32
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (settings.mean, settings.std))
    unnormalized = (found * std + mean).permute(1, 2, 0).numpy()
    assert np.abs(unnormalized - expected).max() <= 1.01 / 255


def test_pixels_cropped_by_a_reader_and_normalized_as_a_batch_are_the_same_numbers(picture):
    settings = Preprocessing.for_size(48)
    crop = pickle.loads(pickle.dumps(settings.crop_transform()))
    pictures = [picture, picture.rotate(90, expand=True)]
    pixels = torch.stack([crop(each) for each in pictures])
    assert pixels.dtype == torch.uint8
    assert torch.equal(settings.normalize(pixels), torch.stack([settings.transform()(each) for each in pictures]))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_become_rgb(mode):
    found = Preprocessing.for_size(64).transform()(Image.new("RGB", (80, 80), (9, 9, 9)).convert(mode))
    assert found.shape == (3, 64, 64)


def test_a_line_of_pixels_is_refused_before_it_is_enlarged():
    transform = Preprocessing().transform()
    with pytest.raises(ImageError, match=r"has 1 × 60000 pixels: .*Crop it first"):
        transform(Image.new("RGB", (1, 60000)))
    assert transform(Image.new("RGB", (4000, 10))).shape == (3, 224, 224)


def test_for_size_keeps_seven_eighths():
    assert (Preprocessing.for_size(224).resize, Preprocessing.for_size(224).crop) == (256, 224)


def test_another_size_keeps_the_share_of_the_picture():
    assert Preprocessing().at_size(112) == Preprocessing(resize=128, crop=112)
    assert Preprocessing().at_size(224) == Preprocessing()
    assert Preprocessing(resize=100, crop=90).at_size(45) == Preprocessing(resize=50, crop=45)


def test_survives_json():
    settings = Preprocessing(resize=100, crop=90, interpolation="bilinear", antialias=False)
    assert Preprocessing.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"crop": 300}, r"crop \(300\) must not be larger than resize \(256\)"),
        ({"std": (0, 1, 1)}, "std must be positive"),
        ({"std": (math.inf, 1, 1)}, "std must lie between 0.001 and 10, as pixels lie between 0 and 1"),
        ({"std": (1e300, 1, 1)}, "std must lie between"),
        ({"std": (1e-300, 1, 1)}, "std must lie between"),
        ({"std": (1, 1, math.nan)}, "std must"),
        ({"mean": (math.nan, 0, 0)}, "mean must lie between -1 and 2"),
        ({"mean": (0, -math.inf, 0)}, "mean must lie between"),
        ({"mean": (0, 0, 1e300)}, "mean must lie between"),
        ({"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}, "divide mean and std by 255"),
        ({"crop": 4096, "resize": 4096}, "less than or equal to 1024"),
        ({"resize": 10**9}, "less than or equal to 2048"),
        ({"crop": math.inf}, "finite number"),
        ({"interpolation": "lanczos"}, "'nearest', 'bilinear' or 'bicubic'"),
        ({"color": "BGR"}, "color"),
    ],
)
def test_refuses_inconsistent_settings(wrong, found):
    with pytest.raises(ValidationError, match=found):
        Preprocessing(**wrong)


@pytest.mark.parametrize("make", [Preprocessing.for_size, Preprocessing().at_size])
@pytest.mark.parametrize("size", [8, 4000])
def test_sizes_that_no_encoder_takes(make, size):
    with pytest.raises(ConfigError, match=rf"Preprocessing for {size} px cannot be used"):
        make(size)


BYOL = Preprocessing(antialias=False, style="byol-jax")


def photograph(width: int, height: int) -> Image.Image:
    """A real picture, enlarged, with the fine detail that photographs have."""
    path = sorted(sign_digits().test.rglob("*.jpg"))[40]
    pixels = np.asarray(Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC), np.float64)
    noise = np.random.default_rng(0).normal(0, 25, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(128, 128), (129, 200), (375, 500), (500, 375), (333, 1000)])
def test_byol_style_is_the_released_evaluation_to_the_rounding_of_a_byte(size):
    """Half a step of 255 at most; on such pictures, to resize first, by PyTorch's bicubic, is off by 1.7 to 19."""
    picture = photograph(*size)
    expected = evaluated(np.asarray(picture))
    found = BYOL.crop_transform()(picture).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    resized_first = BYOL.model_copy(update={"style": "torchvision"}).crop_transform()(picture)
    assert np.abs(resized_first.permute(1, 2, 0).numpy() - expected).mean() > 1.5
    tabled = evaluated(np.asarray(picture), places=1024)
    assert np.abs(tabled - expected).max() < 0.1, "what TensorFlow's table of weights adds"


def test_byol_style_takes_any_picture_and_travels():
    crop = pickle.loads(pickle.dumps(BYOL.crop_transform()))
    for form in (Image.new("RGB", (1, 60000), (9, 8, 7)), Image.new("L", (1, 1)), torch.zeros(3, 40, 50).byte()):
        assert crop(form).shape == (3, 224, 224)
    assert crop(Image.new("RGB", (30, 20), (9, 8, 7)))[:, 100, 100].tolist() == [9, 8, 7]
    assert Preprocessing.model_validate_json(BYOL.model_dump_json()) == BYOL
    assert BYOL.at_size(112) == Preprocessing(resize=128, crop=112, antialias=False, style="byol-jax")


@pytest.mark.parametrize("wrong", [{"antialias": True}, {"antialias": False, "interpolation": "bilinear"}])
def test_byol_style_is_bicubic_and_not_antialiased(wrong):
    with pytest.raises(ValidationError, match="set interpolation=bicubic and antialias=false"):
        Preprocessing(style="byol-jax", **wrong)
