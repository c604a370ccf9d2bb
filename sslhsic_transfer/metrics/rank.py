"""RankMe, the effective number of dimensions of embeddings (Garrido et al., ICML 2023)."""

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError


def rankme(embeddings: Tensor) -> float:
    """Compute the effective rank: exp of the entropy of the singular values' shares of their sum.

    It is 1 if all embeddings lie on one line through the origin, and min(N, D) if all directions are used equally.
    It needs no labels. Compare it only between runs of the same width and number of pictures, which should be several
    times D.

    Args:
        embeddings: (N, D), of any dtype and device; not centered, as in the paper.

    Raises:
        InputError: the embeddings are not a matrix, are empty, or have values that are not finite.
    """
    if embeddings.ndim != 2 or 0 in embeddings.shape or not embeddings.isfinite().all():
        raise InputError(f"Got embeddings of shape {tuple(embeddings.shape)}; expected (N, D), all of them finite.")
    rows, columns = embeddings.shape
    points = embeddings.double()
    gram = points.T @ points if rows >= columns else points @ points.T  # its eigenvalues are squared singular values
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = singular / singular.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.special.entr(shares).sum().exp().item()
