from random import Random

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torchvision.transforms.v2 import functional as F

from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import ColourOperations, Colours, View
from sslhsic_transfer.pretrain.views import colours as module
from sslhsic_transfer.pretrain.views.draws import ORDERS, draw_colours
from tests.references.byol_colours import coloured

UNTOUCHED = Colours(-1, 1.0, 1.0, 1.0, 0.0, False, 0.0, False)
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "size": 32, "blur_taps": 7}
TORCHVISION = AugmentationSettings(**RAW)
BYOL = AugmentationSettings(style="byol-jax", **RAW)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    made[:, :, :4] = made[:, :1, :4]  # grey ones, whose hue is not defined
    made[:, :, 4:6] = 0
    return made


def apply(pixels, *colours, settings=TORCHVISION):
    return ColourOperations(settings)(View(pixels, Colours(*default_collate([tuple(colour) for colour in colours]))))


def random_colours(count: int, seed: int = 0) -> list[Colours]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high):
        return low + (high - low) * torch.rand((), generator=generator).item()

    def chance(probability):
        return uniform(0, 1) < probability

    return [
        Colours(
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


def torchvision_twin(pixels: torch.Tensor, colours: Colours) -> torch.Tensor:
    """One picture through torchvision's functions."""
    x = pixels.float() / 255
    jitter = (
        lambda x: F.adjust_brightness(x, colours.brightness),
        lambda x: F.adjust_contrast(x, colours.contrast),
        lambda x: F.adjust_saturation(x, colours.saturation),
        lambda x: F.adjust_hue(x, colours.hue),
    )
    for number in ORDERS[colours.order] if colours.order >= 0 else ():
        x = jitter[number](x)
    if colours.gray:
        x = F.rgb_to_grayscale(x, num_output_channels=3)
    if colours.sigma:
        x = F.gaussian_blur(x, [7, 7], [colours.sigma] * 2)
    return F.solarize(x, 0.5) if colours.solarize else x


@pytest.mark.parametrize("at_a_time", [1, 5 * 3 * 32 * 32, 10**9])
def test_every_picture_is_treated_as_torchvision_would_by_itself(at_a_time, monkeypatch):
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", at_a_time)
    pixels, colours = pictures(40), random_colours(40)
    found = apply(pixels, *colours)
    for own, picture, colour in zip(found, pixels, colours, strict=True):
        torch.testing.assert_close(own, torchvision_twin(picture, colour), atol=2e-5, rtol=0)


def test_untouched_colours_give_the_picture_normalised():
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
    colours = [draw_colours(random, settings, view) for view in (settings.view1, settings.view2) * 80]
    assert sum(colour.order >= 0 for colour in colours) > 100
    expected = [
        coloured(
            picture.double().numpy() / 255,
            **colour._asdict() | {"order": ORDERS[colour.order] if colour.order >= 0 else ()},
            taps=settings.blur_taps,
        )
        for picture, colour in zip(pixels, colours, strict=True)
    ]
    view = View(pixels, Colours(*default_collate([tuple(colour) for colour in colours])))
    operations = ColourOperations(settings)
    found = operations.apply_to_all(view.pixels, *module.packed(view.colours)) if program else operations(view)
    assert np.abs(found.double().numpy() - np.stack(expected)).max() <= 7e-7


def test_byol_blur_darkens_the_border():
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    colours = UNTOUCHED._replace(sigma=2.0)
    assert apply(white, colours, settings=BYOL)[0, 0, 0, 0] < 0.5
    assert apply(white, colours)[0, 0, 0, 0] == pytest.approx(1)


def test_runs_on_another_device_without_waiting_for_it():
    """On the meta device a value that the host would have to wait for raises."""
    view = View(pictures(6), Colours(*default_collate([tuple(colour) for colour in random_colours(6)])))
    made = ColourOperations(TORCHVISION)(view, "meta")
    assert (made.shape, made.device.type) == ((6, 3, 32, 32), "meta")


@pytest.mark.parametrize("settings", [TORCHVISION, BYOL])
def test_one_program_for_all_pictures_makes_what_each_operation_makes_of_its_own(settings):
    view = View(pictures(64), Colours(*default_collate([tuple(colour) for colour in random_colours(64)])))
    operations = ColourOperations(settings)
    torch.testing.assert_close(
        operations.apply_to_all(view.pixels, *module.packed(view.colours)), operations(view), atol=1e-6, rtol=0
    )
