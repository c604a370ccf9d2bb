"""Gradient of the learned kernel scale: the entropy objective of the SSL-HSIC code.

The scale c maximizes the mean of log |∂k_c/∂s| over squared distances s = ‖x − y‖² of pairs of distinct rows. At this
scale the kernel distinguishes those distances best. If all pairs are s apart, the optimum of the inverse multiquadric
is c = √(s/2): 1 for orthogonal unit vectors. The derivative in c has a closed form for every kernel, so no logarithm of
a vanishing slope is computed.
"""

import torch
from torch import Tensor

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic.distributed import sum_over_processes
from sslhsic_transfer.hsic.kernels import Kernel, squared_distances

# The first rows of a large batch suffice: 1024 × 1024 pairs determine one number well enough.
MAX_ROWS = 1024


@torch.no_grad()
def scale_gradient(embeddings: Tensor, scale: Tensor, kernel: Kernel) -> Tensor:
    """Compute the derivative in c of the mean log |∂k_c/∂s| over pairs of distinct rows.

    Args:
        embeddings: (B, M, d) unit vectors; all M views of the first images, up to `MAX_ROWS` rows, are paired. In a
            process group, this rank's images: the result is the mean over ranks, weighted by their images.
        scale: the kernel scale c, a scalar tensor.
        kernel: the kernel family.

    Returns:
        A scalar tensor, the same on every rank; zero for a single row.

    Raises:
        ConfigError: the kernel has no scale.
    """
    if kernel.log_slope_gradient is None:
        raise ConfigError(f"The {kernel.name} kernel has no scale to learn.")
    images = max(1, MAX_ROWS // embeddings.shape[1])
    rows = embeddings[:images].flatten(0, 1)
    scale = scale.to(rows.dtype)
    values = kernel.log_slope_gradient(squared_distances(rows, rows).fill_diagonal_(0), scale)
    mean = (values.sum() - values.diagonal().sum()) / max(1, values.numel() - len(rows))
    weighted = torch.stack([mean * len(embeddings), mean.new_full((), float(len(embeddings)))])
    total = sum_over_processes(weighted)
    return total[0] / total[1]


def with_scale_gradient(loss: Tensor, scale: Tensor, gradient: Tensor) -> Tensor:
    """Add a term of value zero to the loss whose gradient in ``scale`` is −``gradient``; nothing else changes.

    Args:
        loss: a scalar tensor.
        scale: the parameter.
        gradient: gradient of the scale's objective; the same on every rank, so that a mean over ranks does not change
            it.
    """
    return loss - (scale - scale.detach()) * gradient.to(loss.dtype)
