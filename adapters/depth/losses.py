"""Losses between predicted and measured depth, over the pixels with a measurement."""

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError


def berhu(prediction: Tensor, target: Tensor, valid: Tensor, *, share: float = 0.2) -> Tensor:
    """Compute the reverse Huber loss (Laina et al., arXiv 1606.00373).

    It is linear up to c = share · max |error|, and quadratic beyond.

    Args:
        prediction: (B, 1, H, W) depth.
        target: the same shape.
        valid: the same shape, bool: where depth was measured.
        share: share of the largest error in the batch that is c; no gradient flows through c.

    Returns:
        The mean over valid pixels; zero, with a gradient of zero, if there are none.
    """
    error = _errors(prediction, target, valid).abs()
    if not error.numel():
        return prediction.sum() * 0
    c = (share * error.detach().max()).clamp_min(torch.finfo(error.dtype).tiny)
    return torch.where(error <= c, error, (error.square() + c * c) / (2 * c)).mean()


def scale_invariant_log(prediction: Tensor, target: Tensor, valid: Tensor, *, variance_focus: float = 0.85) -> Tensor:
    """Compute the scale-invariant logarithmic loss (Eigen et al., arXiv 1406.2283).

    It is √(mean d² − λ (mean d)²), with d = log p − log t.

    Args:
        prediction: (B, 1, H, W) positive depth.
        target: the same shape, positive where valid.
        valid: the same shape, bool.
        variance_focus: λ: with 0 an error of scale counts in full, with 1 not at all.
    """
    if not valid.any():
        return prediction.sum() * 0
    tiny = torch.finfo(prediction.dtype).eps
    d = prediction[valid].clamp_min(tiny).log() - target[valid].clamp_min(tiny).log()
    # The root's gradient is infinite at zero.
    return (d.square().mean() - variance_focus * d.mean().square()).clamp_min(tiny).sqrt()


def gradient_matching(prediction: Tensor, target: Tensor, valid: Tensor, *, scales: int = 4) -> Tensor:
    """Compute the L1 norm of the error's gradients at several scales (MegaDepth, arXiv 1804.00607), for sharp edges.

    Args:
        prediction: (B, 1, H, W).
        target: the same shape.
        valid: the same shape, bool; a difference counts where both its pixels are valid.
        scales: number of scales, each with every second row and column of the one before.
    """
    _errors(prediction, target, valid)
    error = torch.where(valid, prediction - target, 0.0)
    total = prediction.sum() * 0
    for scale in range(scales):
        step = 2**scale
        part, known = error[..., ::step, ::step], valid[..., ::step, ::step]
        rows = ((part[..., 1:, :] - part[..., :-1, :]).abs(), known[..., 1:, :] & known[..., :-1, :])
        columns = ((part[..., :, 1:] - part[..., :, :-1]).abs(), known[..., :, 1:] & known[..., :, :-1])
        counted = sum(both.sum() for _, both in (rows, columns))
        total = total + sum((change * both).sum() for change, both in (rows, columns)) / max(int(counted), 1)
    return total


def _errors(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    if not prediction.shape == target.shape == valid.shape or valid.dtype != torch.bool:
        raise InputError(
            f"Got a prediction {tuple(prediction.shape)}, a target {tuple(target.shape)} and a mask "
            f"{tuple(valid.shape)} of {valid.dtype}; expected one shape, and a mask of bool."
        )
    return prediction[valid] - target[valid]
