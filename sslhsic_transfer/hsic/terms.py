"""The loss as a function of unit vectors: its terms, exact or by random features, and their combination."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.hsic.approximate import approximate_terms, positive_mean
from sslhsic_transfer.hsic.distributed import (
    gather_over_processes,
    process_count,
    sum_alone,
    sum_over_processes,
)
from sslhsic_transfer.hsic.exact import ExactSettings, exact_terms
from sslhsic_transfer.hsic.features import Features, LinearFeatures
from sslhsic_transfer.hsic.kernels import Kernel, get_kernel
from sslhsic_transfer.hsic.scale import scale_gradient

Regularizer = Literal["biased", "debiased"]

# Below this, √HSIC(Z,Z) is held constant: its true gradient there is unbounded and carries no information.
_SMALLEST_HSIC_ZZ = 1e-12


class HSICTerms(NamedTuple):
    """Terms of the loss and the noise of the first, each a scalar tensor.

    Attributes:
        zy: HSIC(Z, Y).
        zz: HSIC(Z, Z).
        zy_noise: standard deviation of ``zy`` over draws of features, estimated from the given draws; 0 if exact.
        scale_gradient: derivative of the scale's objective (`sslhsic_transfer.hsic.scale`); 0 if not requested.
    """

    zy: Tensor
    zz: Tensor
    zy_noise: Tensor
    scale_gradient: Tensor


def ssl_hsic_loss(
    embeddings: Tensor,
    draws: Sequence[Features],
    scale: Tensor,
    *,
    kernel: str | Kernel = "imq",
    gamma: float = 3.0,
    regularizer: Regularizer = "biased",
    low_noise: bool = False,
    shared_draw: bool = True,
    trained: Sequence[int] | None = None,
    learn_scale: bool = False,
) -> tuple[Tensor, HSICTerms]:
    """Compute the loss exactly, or for given random features.

    Args:
        embeddings: (B, M, d), unit vectors: M views of each of B images. In a process group, this rank's images.
        draws: none, for the exact kernel; or pairs of independent draws of features at scale 1: the first and the
            second, the third and the fourth, and so on. Their terms are averaged. HSIC(Z, Z) uses both draws of a pair.
        scale: the kernel scale c; neither term has a gradient for it.
        kernel: the kernel of the draws.
        gamma: weight of √HSIC(Z, Z).
        regularizer: ``"biased"`` is the paper's HSIC(Z, Z). ``"debiased"`` is its unbiased estimate. It leaves out
            products of an image with itself, which no encoder can decorrelate and which dominate in small batches.
        low_noise: with draws, whether HSIC(Z, Y) takes the mean over an image's pairs of views from the kernel itself
            and the mean over all pairs from both draws; else, as in the paper, both come from the first draw.
        shared_draw: whether every rank holds the same draws; else each rank computes the whole batch with its own, and
            the loss is the mean over ranks.
        trained: the views, out of M, that need a gradient; None for all. The exact form computes no other gradient.
        learn_scale: whether to compute the derivative of the scale's objective.

    Returns:
        The loss and its terms for the global batch, the same on every rank.

    Raises:
        InputError: the embeddings have another shape, or fewer than two views.
        ConfigError: an unknown regularizer, kernel or number of draws; or the linear kernel without draws.
    """
    check_regularizer(regularizer)
    kernel = get_kernel(kernel) if isinstance(kernel, str) else kernel
    if embeddings.ndim != 3 or embeddings.shape[1] < 2 or 0 in embeddings.shape:
        raise InputError(f"Got embeddings of shape {tuple(embeddings.shape)}; expected (B, M, d) with M ≥ 2 views.")
    if len(draws) % 2 or (not draws and kernel.profile is None):
        raise ConfigError(
            f"Got {len(draws)} draws for the {kernel.name} kernel; expected pairs"
            + (", or none for the exact form." if kernel.profile else " of LinearFeatures, which are exact.")
        )
    scale, debiased = scale.detach(), regularizer == "debiased"
    if draws:
        zy, zz, noise = _by_features(embeddings, draws, scale, kernel, debiased, low_noise, shared_draw)
        slope = scale_gradient(embeddings.detach(), scale, kernel) if learn_scale else torch.zeros_like(zy)
    else:
        views = tuple(range(embeddings.shape[1])) if trained is None else tuple(trained)
        zy, zz, slope = exact_terms(embeddings, scale, ExactSettings(kernel, debiased, views, learn_scale))
        noise = torch.zeros_like(zy)
    loss = -zy + gamma * zz.clamp_min(_SMALLEST_HSIC_ZZ).sqrt()
    if draws and not shared_draw:
        mean = sum_over_processes(loss.detach()) / process_count()
        loss = loss + (mean - loss.detach())
    return loss, HSICTerms(zy, zz, noise.detach(), slope.detach())


def _by_features(
    embeddings: Tensor,
    draws: Sequence[Features],
    scale: Tensor,
    kernel: Kernel,
    debiased: bool,
    low_noise: bool,
    shared_draw: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return HSIC(Z, Y), HSIC(Z, Z) and the standard deviation of the first, averaged over pairs of draws."""
    reduce = sum_over_processes
    if not shared_draw:
        embeddings, reduce = gather_over_processes(embeddings).rows, sum_alone
    # The linear kernel's features have no noise to reduce.
    low_noise = low_noise and not isinstance(draws[0], LinearFeatures)
    positives = positive_mean(embeddings, kernel, scale, reduce) if low_noise else None
    at_scale = [draw.at(scale) for draw in draws]
    terms = [
        approximate_terms(embeddings, pair, debiased=debiased, positives=positives, reduce=reduce)
        for pair in zip(at_scale[::2], at_scale[1::2], strict=True)
    ]
    zy, zz = (torch.stack([term[part] for term in terms]).mean() for part in (0, 2))
    by_draw = torch.cat([term.zy_by_draw for term in terms])
    used = len(draws) if low_noise else len(terms)
    return zy, zz, by_draw.std() / math.sqrt(used)


def check_regularizer(name: str) -> None:
    """Refuse an unknown regularizer.

    Raises:
        ConfigError: it is neither ``"biased"`` nor ``"debiased"``.
    """
    if name not in ("biased", "debiased"):
        raise ConfigError(f"Unknown regularizer {name!r}; expected 'biased' or 'debiased'.")
