import torch
from PIL import Image

from sslhsic_transfer.pretrain.recipe import AugmentationSettings, ViewSettings
from sslhsic_transfer.pretrain.views import TwoViews

PLAIN = {
    "size": 32,
    "crop_area": (1.0, 1.0),
    "crop_ratio": (1.0, 1.0),
    "flip": 0,
    "jitter": 0,
    "gray": 0,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}
NEITHER = ViewSettings(blur=0, solarize=0)


def views(image, seed=0, **changes):
    torch.manual_seed(seed)
    settings = AugmentationSettings(**PLAIN | {"view1": NEITHER, "view2": NEITHER} | changes)
    return TwoViews(settings)(image)


def noise() -> Image.Image:
    return Image.effect_noise((32, 32), 90).convert("RGB")


def test_without_augmentation_both_views_are_the_picture():
    image = noise()
    expected = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(32, 32, 3).permute(2, 0, 1) / 255
    for view in views(image):
        torch.testing.assert_close(view, expected)


def test_blur_and_solarisation_belong_to_their_view():
    first, second = views(noise(), view1=ViewSettings(blur=1, solarize=0), blur_sigma=(2.0, 2.0), blur_taps=9)
    assert first.std() < 0.5 * second.std()
    bright = Image.new("RGB", (32, 32), (200, 200, 200))
    first, second = views(bright, view2=ViewSettings(blur=0, solarize=1))
    assert round(first.mean().item() * 255) == 200
    assert round(second.mean().item() * 255) == 55


def test_views_differ_and_are_fixed_by_the_seed():
    image = noise()
    random = {"crop_area": (0.1, 1.0), "jitter": 1.0, "flip": 0.5}
    first, second = views(image, **random)
    assert not torch.equal(first, second)
    again = views(image, **random)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, views(image, seed=1, **random)[0])


def test_probabilities_are_kept():
    """Share of greyed views of a coloured picture, p = 0.2, within four standard errors of 400 draws."""
    image = Image.new("RGB", (32, 32), (200, 50, 50))
    torch.manual_seed(0)
    make = TwoViews(AugmentationSettings(**PLAIN | {"gray": 0.2, "view1": NEITHER, "view2": NEITHER}))
    grey = sum(bool((view[0] == view[1]).all()) for _ in range(200) for view in make(image))
    assert abs(grey / 400 - 0.2) < 4 * (0.2 * 0.8 / 400) ** 0.5


def test_normalises_as_told():
    image = Image.new("RGB", (32, 32), (255, 0, 51))
    first, _ = views(image, mean=(0.5, 0.5, 0.2), std=(0.5, 0.25, 1.0))
    torch.testing.assert_close(first[:, 0, 0], torch.tensor([1.0, -2.0, 0.0]))
