"""The learned kernel scale: the entropy objective of the SSL-HSIC code.

The scale c maximises the mean of log |∂k_c/∂s| over squared distances s = ‖x − y‖² of pairs in the batch, the scale at
which the kernel tells those distances apart best. Where all pairs are s apart, the optimum of the inverse multiquadric
is c = √(s/2): 1 for orthogonal unit vectors.
"""

import torch
from torch import Tensor

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic.distributed import is_distributed, sum_over_processes
from sslhsic_transfer.hsic.kernels import Kernel, squared_distances

# Of a large batch, the first rows serve: 1024 × 1024 pairs fix one number well enough.
MAX_ROWS = 1024
_SMALLEST_SLOPE = 1e-14


def scale_objective(embeddings: Tensor, scale: Tensor, kernel: Kernel) -> Tensor:
    """Mean log |∂k_c/∂s| over pairs of distinct rows, to be maximised in c.

    Args:
        embeddings: (B, M, d) unit vectors; all M views of the first images, up to `MAX_ROWS` rows, are paired.
        scale: the kernel scale c, a scalar tensor.
        kernel: the kernel family.

    Returns:
        A scalar tensor.

    Raises:
        ConfigError: the kernel has no scale.
    """
    images = max(1, MAX_ROWS // embeddings.shape[1])
    rows = embeddings[:images].flatten(0, 1)
    if kernel.slope is None:
        raise ConfigError(f"The {kernel.name} kernel has no scale to learn.")
    logs = kernel.slope(squared_distances(rows, rows), scale).clamp_min(_SMALLEST_SLOPE).log()
    return (logs.sum() - logs.diagonal().sum()) / (logs.numel() - len(rows))


def with_scale_gradient(loss: Tensor, embeddings: Tensor, scale: Tensor, kernel: Kernel) -> Tensor:
    """Add a term of value zero to the loss whose gradient in ``scale`` is that of −`scale_objective`.

    The value of the loss and every other gradient stay as they are. In a process group the gradient is the mean over
    ranks, the same on each, whether or not DistributedDataParallel averages it once more.
    """
    with torch.enable_grad():
        probe = scale.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(-scale_objective(embeddings, probe, kernel), probe)
    if is_distributed():
        weighted = torch.stack([gradient * len(embeddings), gradient.new_full((), float(len(embeddings)))])
        total = sum_over_processes(weighted)
        gradient = total[0] / total[1]
    return loss + (scale - scale.detach()) * gradient
