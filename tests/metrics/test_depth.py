import math

import pytest
import torch

from sslhsic_transfer.adapters.depth import GARG_CROP, NYU_CROP, DepthMetrics, DepthProtocol, depth_metrics
from sslhsic_transfer.errors import InputError
from sslhsic_transfer.metrics.depth import METRICS


def row(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


def everywhere(target):
    return torch.ones_like(target, dtype=torch.bool)


def test_by_hand():
    p, t = row(1.0, 2.0, 6.0), row(1.0, 4.0, 4.0)
    found = depth_metrics(p, t, everywhere(t))
    logs = [0.0, math.log(0.5), math.log(1.5)]
    expected = {
        "abs_rel": (0 + 0.5 + 0.5) / 3,
        "sq_rel": (0 + 1 + 1) / 3,
        "rmse": math.sqrt((0 + 4 + 4) / 3),
        "rmse_log": math.sqrt(sum(d * d for d in logs) / 3),
        "log10": sum(abs(d) for d in logs) / 3 / math.log(10),
        "silog": 100 * math.sqrt(sum(d * d for d in logs) / 3 - (sum(logs) / 3) ** 2),
        "delta1": 1 / 3,  # ratios 1, 2, 1.5
        "delta2": 2 / 3,  # below 1.5625
        "delta3": 2 / 3,  # below 1.953
    }
    assert list(found) == list(METRICS)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_pixels_or_pictures():
    p = torch.tensor([[1.0, 1.0, 1.0, 1.0], [3.0, 9.0, 9.0, 9.0]]).reshape(2, 1, 1, 4)
    t = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 9.0, 9.0, 9.0]]).reshape(2, 1, 1, 4)
    valid = everywhere(t)
    valid[1, ..., 1:] = False
    by_picture = depth_metrics(p, t, valid)
    by_pixel = depth_metrics(p, t, valid, DepthProtocol(averaging="pixels"))
    assert by_picture["rmse"] == pytest.approx((0 + 2) / 2)
    assert by_pixel["rmse"] == pytest.approx(math.sqrt(4 / 5))
    assert (by_picture["abs_rel"], by_pixel["abs_rel"]) == pytest.approx((1.0, 0.4))
    d = math.log(3)
    assert by_pixel["silog"] == pytest.approx(100 * math.sqrt(d * d / 5 - (d / 5) ** 2))


def test_depth_beyond_the_bounds_is_not_counted():
    t = row(1.0, 20.0, 1e-4)
    assert depth_metrics(row(1.0, 1.0, 1.0), t, everywhere(t))["abs_rel"] == 0
    assert depth_metrics(row(1.0, 1.0, 1.0), t, everywhere(t), DepthProtocol(cap=30))["abs_rel"] == pytest.approx(
        (0 + 19 / 20) / 2
    )


def test_predictions_are_clamped_to_the_bounds():
    t = row(10.0)
    assert depth_metrics(row(50.0), t, everywhere(t))["abs_rel"] == 0
    assert math.isfinite(depth_metrics(row(-1.0), t, everywhere(t))["rmse_log"])


@pytest.mark.parametrize(("alignment", "scale", "shift"), [("median", 3.0, 0.0), ("least-squares", 3.0, 1.0)])
def test_alignment_undoes_scale_and_shift(alignment, scale, shift):
    t = torch.rand(1, 1, 8, 8, dtype=torch.float64) + 1
    p = (t - shift) / scale
    protocol = DepthProtocol(alignment=alignment)
    assert depth_metrics(p, t, everywhere(t), protocol)["abs_rel"] == pytest.approx(0, abs=1e-9)
    assert depth_metrics(p, t, everywhere(t))["abs_rel"] > 0.1


def test_only_the_crop_counts():
    t = torch.ones(1, 1, 100, 100)
    p = torch.full_like(t, 2.0)
    p[..., 20:60, 10:30] = 1.0
    assert depth_metrics(p, t, everywhere(t), DepthProtocol(crop=(0.2, 0.6, 0.1, 0.3)))["abs_rel"] == 0
    assert depth_metrics(p, t, everywhere(t))["abs_rel"] == pytest.approx(0.92)


def test_the_usual_crops_are_the_published_pixels():
    """NYU: rows 45–471, columns 41–601 of 480 × 640; Garg: rows 153–371, columns 44–1197 of 375 × 1242."""
    t = torch.ones(1, 1, 480, 640)
    for crop, size, expected in (
        (NYU_CROP, (480, 640), (45, 471, 41, 601)),
        (GARG_CROP, (375, 1242), (153, 371, 44, 1197)),
    ):
        t = torch.ones(1, 1, *size)
        p = torch.full_like(t, 2.0)
        top, bottom, left, right = expected
        p[..., top:bottom, left:right] = 1.0
        assert depth_metrics(p, t, everywhere(t), DepthProtocol(crop=crop))["abs_rel"] == 0
        p[..., top, left] = 2.0
        assert depth_metrics(p, t, everywhere(t), DepthProtocol(crop=crop))["abs_rel"] > 0


def test_pictures_without_depth_are_passed_over():
    t = torch.ones(2, 1, 4, 4)
    valid = everywhere(t)
    valid[1] = False
    metrics = DepthMetrics()
    metrics.update(t, t, valid)
    assert metrics.pictures == 1
    with pytest.raises(InputError, match="No picture had a pixel"):
        depth_metrics(t, t, torch.zeros_like(valid))


def test_the_protocol_says_every_choice():
    text = DepthProtocol(cap=80, crop=GARG_CROP, alignment="median").describe()
    for part in ("0.001–80 m", "crop (0.408", "alignment median", "mean over pictures", "resized"):
        assert part in text
