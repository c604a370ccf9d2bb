import pytest
import torch
from torch.nn import functional as F

from sslhsic_transfer.adapters.depth.upprojection import FastUpConvolution, UpProjectionHead


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (4, 5), (7, 3)])
def test_the_fast_form_is_the_slow_one(size):
    """Zeros filled in, then a 5×5 convolution of which the fast form holds the weights by parity."""
    fast = FastUpConvolution(3, 2).double()
    kernel = torch.zeros(2, 3, 5, 5, dtype=torch.float64)
    parts = {(0, 0): fast.even_even, (0, 1): fast.even_odd, (1, 0): fast.odd_even, (1, 1): fast.odd_odd}
    for (row, column), part in parts.items():
        kernel[:, :, row::2, column::2] = part.weight
        part.bias.zero_()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    filled = torch.zeros(2, 3, 2 * size[0], 2 * size[1], dtype=torch.float64)
    filled[..., ::2, ::2] = x
    torch.testing.assert_close(fast(x), F.conv2d(filled, kernel, padding=2))


def test_the_papers_decoder_has_its_channels_and_size():
    head = UpProjectionHead(2048)
    assert head.reduce[0].out_channels == 1024
    assert [block.branch[3].out_channels for block in head.up] == [512, 256, 128, 64]
    assert UpProjectionHead(128)({"c5": torch.randn(2, 128, 7, 10)}).shape == (2, 1, 112, 160)
