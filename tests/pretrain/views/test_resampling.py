import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from sslhsic_transfer.pretrain.views.resampling import blur_matrices


@pytest.mark.parametrize(("size", "taps"), [(32, 7), (32, 23), (12, 1), (40, 41)])
def test_blurs_as_torchvision_does(size, taps):
    pictures, sigmas = torch.rand(3, 3, size, size), torch.tensor([0.1, 0.9, 2.0])
    matrices = blur_matrices(sigmas, size, taps, reflect=True)
    found = matrices[:, None] @ pictures @ matrices[:, None].mT
    for picture, sigma, own in zip(pictures, sigmas, found, strict=True):
        expected = V.gaussian_blur(picture, [taps, taps], [sigma.item()] * 2)
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)


def test_black_border_is_a_zero_padded_convolution():
    pictures, sigma, taps = torch.rand(2, 1, 20, 20), 1.5, 9
    (matrix,) = blur_matrices(torch.tensor([sigma]), 20, taps, reflect=False)
    kernel = torch.exp(-0.5 * (torch.arange(-4.0, 5) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    expected = F.conv2d(pictures, torch.outer(kernel, kernel)[None, None], padding=4)
    torch.testing.assert_close(matrix @ pictures @ matrix.T, expected, atol=1e-5, rtol=1e-5)


def test_kernels_longer_than_the_picture_stay_within_it():
    for reflect in (True, False):
        (matrix,) = blur_matrices(torch.tensor([2.0]), 4, 23, reflect=reflect)
        assert matrix.isfinite().all()
        if reflect:
            torch.testing.assert_close(matrix.sum(dim=1), torch.ones(4))
