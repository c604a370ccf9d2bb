"""Distances between two results, the precision that they are computed in, and the pictures they are computed from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import spread_indices
from sslhsic_transfer.sample import sign_digits


def relative(found: Tensor, expected: Tensor) -> float:
    """Return ‖found − expected‖ / ‖expected‖, in float64 on the CPU."""
    a, b = (values.detach().cpu().double() for values in (found, expected))
    return float((a - b).norm() / b.norm())


def least_cosine(found: Tensor, expected: Tensor) -> float:
    """Return the smallest cosine between corresponding rows, flattened."""
    a, b = (values.detach().cpu().double().flatten(1) for values in (found, expected))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=1).min())


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let matrix products and convolutions on a GPU round their inputs to TF32 within the block, or forbid it."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def bundled_pictures(count: int) -> list[Path]:
    """Return test pictures that come with the package, evenly over the classes."""
    paths = ImageFolder.scan(sign_digits().test).paths
    return [paths[index] for index in spread_indices(len(paths), count)]
