import math

import pytest
import torch
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, draw_features, ssl_hsic_loss


@pytest.mark.parametrize(
    ("views", "found"),
    [
        ([torch.randn(4, 3)], "1 views"),
        ([torch.randn(4, 3), torch.randn(5, 3)], r"\(4, 3\), \(5, 3\)"),
        ([torch.randn(4), torch.randn(4)], r"\(4,\)"),
        ([torch.randn(0, 3), torch.randn(0, 3)], r"\(0, 3\)"),
    ],
)
def test_refuses_views_that_do_not_fit(views, found):
    with pytest.raises(InputError, match=found):
        SSLHSICLoss()(views)


@pytest.mark.parametrize(
    "arguments",
    [{"gamma": -1}, {"num_features": 0}, {"kernel": "cubic"}, {"regularizer": "both"}, {"initial_scale": 0}],
)
def test_refuses_settings_out_of_range(arguments):
    with pytest.raises(ConfigError, match=str(next(iter(arguments.values())))):
        SSLHSICLoss(**arguments)


@pytest.mark.parametrize("options", [{"gamma": math.nan}, {"initial_scale": math.inf}, {"gamma": -1}])
def test_settings_that_are_no_numbers(options):
    with pytest.raises(ConfigError, match="expected finite gamma"):
        SSLHSICLoss(**options)


def test_views_that_are_not_floating():
    with pytest.raises(InputError, match=r"Got views of torch\.int64, torch\.int64"):
        SSLHSICLoss()([torch.zeros(4, 3, dtype=torch.int64)] * 2)


@pytest.mark.parametrize(
    ("shape", "options", "error", "words"),
    [
        ((4, 1, 3), {}, InputError, r"shape \(4, 1, 3\); expected \(B, M, d\)"),
        ((4, 3), {}, InputError, r"shape \(4, 3\)"),
        ((4, 2, 3), {"regularizer": "bised"}, ConfigError, "Unknown regularizer 'bised'"),
    ],
)
def test_the_function_checks_what_it_is_given(shape, options, error, words):
    draws = tuple(draw_features(KERNELS["imq"], 3, 8) for _ in range(2))
    with pytest.raises(error, match=words):
        ssl_hsic_loss(F.normalize(torch.ones(shape), dim=-1), draws, torch.tensor(1.0), **options)
