"""Checks of a network's input, each failure with its fix."""

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.models.config import SMALLEST_SIDE


def check_images(images: Tensor, weight: Tensor) -> None:
    """Refuse a batch that a network cannot take, by what is known without looking at its values.

    Args:
        images: what should be a (B, 3, H, W) floating tensor.
        weight: one of the network's weights, for its dtype and device.

    Raises:
        InputError: wrong type, shape, dtype or device.
    """
    if not isinstance(images, Tensor):
        raise InputError(
            f"Got {type(images).__name__}; expected a tensor (B, 3, H, W). For pictures use encoder.embed(…)."
        )
    shape = tuple(images.shape)
    if images.ndim == 3 and shape[0] == 3:
        raise InputError(f"Got shape {shape}; expected (B, 3, H, W): add the batch dimension, images[None].")
    if images.ndim == 4 and shape[1] != 3 and shape[3] == 3:
        raise InputError(
            f"Got shape {shape}; expected (B, 3, H, W): move the channels first, images.permute(0, 3, 1, 2)."
        )
    if images.ndim != 4 or shape[1] != 3:
        raise InputError(f"Got shape {shape}; expected (B, 3, H, W), three channels in the order RGB.")
    if shape[2] < SMALLEST_SIDE or shape[3] < SMALLEST_SIDE:
        raise InputError(
            f"Got images of {shape[2]} × {shape[3]} pixels; expected at least "
            f"{SMALLEST_SIDE} × {SMALLEST_SIDE}: resize them."
        )
    if not images.is_floating_point():
        raise InputError(
            f"Got {images.dtype}; expected normalized floating images. Use encoder.preprocessing.transform(), or "
            "encoder.embed(pictures)."
        )
    if images.dtype != weight.dtype and not torch.is_autocast_enabled(images.device.type):
        raise InputError(f"Got {images.dtype}, the weights are {weight.dtype}: use images.to({weight.dtype}).")
    if images.device != weight.device:
        raise InputError(
            f"Images are on {images.device}, the weights on {weight.device}: use images.to({str(weight.device)!r})."
        )


def check_finite(images: Tensor, result: Tensor, *, training: bool) -> None:
    """Refuse NaN and infinite values, found in the result because they get through every layer.

    Args:
        images: the batch.
        result: what the network made of it.
        training: whether the network is in train mode, where nothing is checked.

    Raises:
        InputError: the images are not finite, or finite images overflow.
    """
    # Only in eval mode and on real tensors: while training, tracing or mapping, a look at the values would cost a
    # synchronization or break the graph.
    if training or type(result) is not Tensor or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return
    if torch._C._functorch.is_functorch_wrapped_tensor(result):  # of torch.func
        return
    if result.isfinite().all():
        return
    bad = int((~images.isfinite()).sum())
    if bad:
        raise InputError(
            f"The images hold {bad} NaN or infinite values; expected finite ones. Check how they were read."
        )
    raise InputError(
        f"The features overflow {result.dtype} on finite images (largest value {images.abs().max().item():.3g}). "
        "Are the images normalized by encoder.preprocessing, and the weights finite? Else use float32 or bfloat16."
    )
