import pytest
import torch
from torch import nn

from sslhsic_transfer.adapters.onnx.dense.layers import AdaptiveAverage


@pytest.mark.parametrize("size", [(7, 5), (6, 6), (2, 13), (33, 40)])
@pytest.mark.parametrize("bins", [(2, 3), (6, 6)])
def test_bins_of_adaptive_means_are_torchs(size, bins):
    maps = torch.rand(2, 4, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(AdaptiveAverage(*bins)(maps), nn.AdaptiveAvgPool2d(bins)(maps))
