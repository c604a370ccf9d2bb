from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from sslhsic_transfer.pretrain.recipe_file import load_recipe
from sslhsic_transfer.pretrain.sections import AugmentationSettings, ViewSettings
from sslhsic_transfer.pretrain.views.draws import ORDERS, draw_colors, draw_crop

PAPER = AugmentationSettings()


def colors(count=4000, view=PAPER.view2, **changes):
    random = Random(0)
    settings = PAPER.model_copy(update=changes)
    return [draw_colors(random, settings, view) for _ in range(count)]


@pytest.mark.parametrize(("width", "height"), [(500, 375), (128, 128), (40, 300)])
def test_boxes_are_distributed_as_torchvisions(width, height):
    random = Random(0)
    ours = [draw_crop(random, PAPER, width, height)[0] for _ in range(3000)]
    torch.manual_seed(0)
    image = Image.new("L", (width, height))
    crop = v2.RandomResizedCrop(8, PAPER.crop_area, PAPER.crop_ratio)
    theirs = [crop.make_params([image]) for _ in range(3000)]
    for own, other in (
        ([left for left, *_ in ours], [draw["left"] for draw in theirs]),
        ([upper for _, upper, *_ in ours], [draw["top"] for draw in theirs]),
        ([right - left for left, _, right, _ in ours], [draw["width"] for draw in theirs]),
        ([lower - upper for _, upper, _, lower in ours], [draw["height"] for draw in theirs]),
    ):
        assert ks_2samp(own, other).pvalue > 1e-3


@pytest.mark.parametrize(
    ("style", "quartiles"), [("torchvision", (0.250, 0.421, 0.593)), ("byol-jax", (0.310, 0.540, 0.726))]
)
def test_shares_of_the_area_are_each_styles_own(style, quartiles):
    """On 500 × 375 pixels. BYOL's code cuts large boxes off at the border, where torchvision's are drawn again.

    Expected are the quartiles of four million draws.
    """
    random, settings = Random(0), PAPER.model_copy(update={"style": style})
    boxes = [draw_crop(random, settings, 500, 375)[0] for _ in range(40_000)]
    shares = [(right - left) * (lower - upper) / (500 * 375) for left, upper, right, lower in boxes]
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx(quartiles, abs=0.006)


def test_byol_boxes_are_the_drawn_ones_cut_off_at_the_border():
    """By another way: areas and ratios drawn as arrays, sides rounded, then clamped; the sides' distributions agree."""
    rng, random = np.random.default_rng(0), Random(0)
    area = rng.uniform(0.08, 1, 20_000) * 500 * 375
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), 20_000))
    widths, heights = np.minimum(np.rint(np.sqrt(area * ratio)), 500), np.minimum(np.rint(np.sqrt(area / ratio)), 375)
    boxes = [draw_crop(random, PAPER.model_copy(update={"style": "byol-jax"}), 500, 375)[0] for _ in range(20_000)]
    assert ks_2samp([right - left for left, _, right, _ in boxes], widths).pvalue > 1e-3
    assert ks_2samp([lower - upper for _, upper, _, lower in boxes], heights).pvalue > 1e-3


@pytest.mark.parametrize("style", ["torchvision", "byol-jax"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1000), (1000, 2), (33, 32)])
def test_boxes_lie_within_any_picture(width, height, style):
    random, settings = Random(0), PAPER.model_copy(update={"style": style})
    for _ in range(200):
        left, upper, right, lower = draw_crop(random, settings, width, height)[0]
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height


def test_crops_are_wide_as_often_as_tall():
    """The ratio is uniform in its logarithm, whose mean is 0; one uniform in itself would have a mean of 0.027."""
    random, settings = Random(0), PAPER.model_copy(update={"crop_area": (0.2, 0.5)})  # which always fits
    boxes = [draw_crop(random, settings, 1000, 1000)[0] for _ in range(20_000)]
    logs = torch.tensor([(right - left) / (lower - upper) for left, upper, right, lower in boxes]).log()
    assert logs.mean().abs() < 0.005


def test_probabilities_and_ranges_are_the_recipes():
    """Each share within four standard errors; each number within its range and near its ends."""
    drawn = colors()
    for found, expected in (
        (sum(draw.order >= 0 for draw in drawn), PAPER.jitter),
        (sum(draw.gray for draw in drawn), PAPER.gray),
        (sum(draw.sigma > 0 for draw in drawn), PAPER.view2.blur),
        (sum(draw.solarize for draw in drawn), PAPER.view2.solarize),
    ):
        assert abs(found / len(drawn) - expected) < 4 * (expected * (1 - expected) / len(drawn)) ** 0.5
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.8, 1.2),
        ("hue", -0.1, 0.1),
    ):
        values = [getattr(draw, name) for draw in drawn]
        assert low <= min(values) < low + 0.01 * (high - low)
        assert high >= max(values) > high - 0.01 * (high - low)
    sigmas = [draw.sigma for draw in drawn if draw.sigma]
    assert 0.1 <= min(sigmas) < 0.2
    assert 1.9 < max(sigmas) <= 2
    assert {draw.order for draw in drawn} == {-1, *range(len(ORDERS))}


def test_views_have_their_own_probabilities():
    first = colors(view=load_recipe("imagenet-r50").augmentation.view1)
    assert all(draw.sigma > 0 and not draw.solarize for draw in first)
    assert not any(draw.sigma for draw in colors(view=ViewSettings(blur=0, solarize=1)))


def test_factors_never_fall_below_zero():
    assert min(draw.brightness for draw in colors(brightness=3.0)) >= 0
    assert min(draw.saturation for draw in colors(saturation=3.0)) >= 0


def test_byol_adds_to_the_brightness():
    values = [draw.brightness for draw in colors(style="byol-jax")]
    assert -0.4 <= min(values) < -0.39
    assert 0.39 < max(values) <= 0.4
