from random import Random

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torchvision.transforms.v2 import functional as F

from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import ColorOperations, Colors, View
from sslhsic_transfer.pretrain.views import colors as module
from sslhsic_transfer.pretrain.views.draws import ORDERS, draw_colors
from tests.references.byol_colors import colored

UNTOUCHED = Colors(-1, 1.0, 1.0, 1.0, 0.0, False, 0.0, False)
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "size": 32, "blur_taps": 7}
TORCHVISION = AugmentationSettings(**RAW)
BYOL = AugmentationSettings(style="byol-jax", **RAW)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    made[:, :, :4] = made[:, :1, :4]  # gray ones, whose hue is not defined
    made[:, :, 4:6] = 0
    return made


def apply(pixels, *colors, settings=TORCHVISION):
    return ColorOperations(settings)(View(pixels, Colors(*default_collate([tuple(color) for color in colors]))))


def random_colors(count: int, seed: int = 0) -> list[Colors]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high):
        return low + (high - low) * torch.rand((), generator=generator).item()

    def chance(probability):
        return uniform(0, 1) < probability

    return [
        Colors(
            order=int(uniform(-1, 24)) if index else -1,
            brightness=uniform(0.2, 1.8),
            contrast=uniform(0.2, 1.8),
            saturation=uniform(0.2, 1.8),
            hue=uniform(-0.5, 0.5),
            gray=chance(0.3),
            sigma=uniform(0.1, 2) if chance(0.5) else 0.0,
            solarize=chance(0.3),
        )
        for index in range(count)
    ]


def torchvision_twin(pixels: torch.Tensor, colors: Colors) -> torch.Tensor:
    """Color one picture by torchvision's functions."""
    x = pixels.float() / 255
    jitter = (
        lambda x: F.adjust_brightness(x, colors.brightness),
        lambda x: F.adjust_contrast(x, colors.contrast),
        lambda x: F.adjust_saturation(x, colors.saturation),
        lambda x: F.adjust_hue(x, colors.hue),
    )
    for number in ORDERS[colors.order] if colors.order >= 0 else ():
        x = jitter[number](x)
    if colors.gray:
        x = F.rgb_to_grayscale(x, num_output_channels=3)
    if colors.sigma:
        x = F.gaussian_blur(x, [7, 7], [colors.sigma] * 2)
    return F.solarize(x, 0.5) if colors.solarize else x


@pytest.mark.parametrize("at_a_time", [1, 5 * 3 * 32 * 32, 10**9])
def test_every_picture_is_treated_as_torchvision_would_by_itself(at_a_time, monkeypatch):
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", at_a_time)
    pixels, colors = pictures(40), random_colors(40)
    found = apply(pixels, *colors)
    for own, picture, color in zip(found, pixels, colors, strict=True):
        torch.testing.assert_close(own, torchvision_twin(picture, color), atol=2e-5, rtol=0)


def test_untouched_colors_give_the_picture_normalized():
    settings = AugmentationSettings(size=32)
    pixels = pictures(2)
    expected = F.normalize(pixels.float() / 255, settings.mean, settings.std)
    torch.testing.assert_close(apply(pixels, UNTOUCHED, UNTOUCHED, settings=settings), expected)


STRONG = BYOL.model_copy(update={"brightness": 0.9, "contrast": 0.9, "saturation": 0.9, "hue": 0.5})


@pytest.mark.parametrize("program", [False, True], ids=["chosen", "all"])
@pytest.mark.parametrize("settings", [BYOL, STRONG], ids=["recipe", "strong"])
def test_byol_views_are_the_released_codes(settings, program):
    """It clips after each operation: at the end alone, 90 % of the recipe's jittered views are off, by up to .38."""
    pixels, random = pictures(160), Random(3)
    colors = [draw_colors(random, settings, view) for view in (settings.view1, settings.view2) * 80]
    assert sum(color.order >= 0 for color in colors) > 100
    expected = [
        colored(
            picture.double().numpy() / 255,
            **color._asdict() | {"order": ORDERS[color.order] if color.order >= 0 else ()},
            taps=settings.blur_taps,
        )
        for picture, color in zip(pixels, colors, strict=True)
    ]
    view = View(pixels, Colors(*default_collate([tuple(color) for color in colors])))
    operations = ColorOperations(settings)
    found = operations.apply_to_all(view.pixels, *module.packed(view.colors)) if program else operations(view)
    assert np.abs(found.double().numpy() - np.stack(expected)).max() <= 7e-7


def test_byol_blur_darkens_the_border():
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    colors = UNTOUCHED._replace(sigma=2.0)
    assert apply(white, colors, settings=BYOL)[0, 0, 0, 0] < 0.5
    assert apply(white, colors)[0, 0, 0, 0] == pytest.approx(1)


def test_runs_on_another_device_without_waiting_for_it():
    """On the meta device a value that the host would have to wait for raises."""
    view = View(pictures(6), Colors(*default_collate([tuple(color) for color in random_colors(6)])))
    made = ColorOperations(TORCHVISION)(view, "meta")
    assert (made.shape, made.device.type) == ((6, 3, 32, 32), "meta")


@pytest.mark.parametrize("settings", [TORCHVISION, BYOL])
def test_one_program_for_all_pictures_makes_what_each_operation_makes_of_its_own(settings):
    view = View(pictures(64), Colors(*default_collate([tuple(color) for color in random_colors(64)])))
    operations = ColorOperations(settings)
    torch.testing.assert_close(
        operations.apply_to_all(view.pixels, *module.packed(view.colors)), operations(view), atol=1e-6, rtol=0
    )
