"""RankMe: how many dimensions embeddings really use (Garrido et al., ICML 2023)."""

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError


def rankme(embeddings: Tensor) -> float:
    """Effective rank: exp of the entropy of the singular values' shares of their sum.

    From 1, where all embeddings lie on one line through the origin, to min(N, D), where all directions are used alike.
    It needs no labels; compare it between runs of the same width and number of pictures, of which there should be
    several times D.

    Args:
        embeddings: (N, D), of any dtype and device; not centred, as in the paper.

    Raises:
        InputError: not a matrix, empty, or with values that are not finite.
    """
    if embeddings.ndim != 2 or 0 in embeddings.shape or not embeddings.isfinite().all():
        raise InputError(f"Got embeddings of shape {tuple(embeddings.shape)}; expected (N, D), all of them finite.")
    rows, columns = embeddings.shape
    points = embeddings.double()
    gram = points.T @ points if rows >= columns else points @ points.T  # its eigenvalues are the squares wanted
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = singular / singular.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.special.entr(shares).sum().exp().item()
