import pytest
import torch
from torch import nn

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.training.batch_statistics import advising_on_statistics


def test_a_batch_of_one_pooled_feature_is_told():
    with (
        pytest.raises(ConfigError, match=r"one value per channel, .*torch\.Size\(\[1, 4, 1, 1\]\)\)\. Set batch_size"),
        advising_on_statistics("Set batch_size=2."),
    ):
        nn.BatchNorm2d(4).train()(torch.zeros(1, 4, 1, 1))


def test_other_errors_stay():
    with pytest.raises(ValueError, match="expected 4D input"), advising_on_statistics(""):
        nn.BatchNorm2d(4)(torch.zeros(1, 4))
