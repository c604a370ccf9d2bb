"""The exact gradient of a large batch in the memory of a small one.

A loss that compares all rows does not split into micro-batches, but its gradient does, by the chain rule through the
embeddings (Gao et al. 2021, "GradCache"): a first pass embeds every micro-batch without a graph; the loss of all of
them gives the gradient of each; a second pass embeds each micro-batch again, with a graph, and sends its rows' gradient
back.

Activations are those of one micro-batch. What stays for the whole batch is its cropped pictures, bytes in host memory,
and its embeddings. A step costs one more forward pass. BatchNorm normalises by the micro-batch; its running statistics
see each one once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

Embed = Callable[..., list[Tensor]]
Criterion = Callable[[list[Tensor]], tuple[Tensor, dict[str, Tensor]]]


def two_pass_backward(
    embed: Embed,
    criterion: Criterion,
    micro_batches: Sequence[tuple[Any, ...]],
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
    *,
    networks: nn.Module,
    unsynchronised: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradient of the whole batch's loss to the parameters' ``grad``.

    Args:
        embed: from what a micro-batch holds to the embeddings [(b, d)] · M; the same at both calls, but for dropout and
            its like. Those detached stay so.
        criterion: from the whole batch's embeddings to the loss and scalars.
        micro_batches: the arguments of ``embed`` for each.
        backward: how the loss starts its backward pass (a gradient scaler's, for example).
        networks: holds the BatchNorm layers that ``embed`` uses.
        unsynchronised: a context in which processes do not exchange gradients, for all micro-batches but the last.

    Returns:
        The loss and scalars of the whole batch.
    """
    with torch.no_grad(), _statistics_at_rest(networks):
        parts = [embed(*part) for part in micro_batches]
    sizes = [len(part[0]) for part in parts]
    whole = [torch.cat(views).requires_grad_() for views in zip(*parts, strict=True)]
    loss, scalars = criterion(whole)
    backward(loss)
    gradients = [view.grad.split(sizes) if view.grad is not None else None for view in whole]
    for number, part in enumerate(micro_batches):
        last = number == len(micro_batches) - 1
        with nullcontext() if last else unsynchronised():
            embeddings = embed(*part)
            pairs = [
                (embedding, gradient[number])
                for embedding, gradient in zip(embeddings, gradients, strict=True)
                if gradient is not None and embedding.requires_grad
            ]
            torch.autograd.backward([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return loss.detach(), scalars


@contextmanager
def _statistics_at_rest(networks: nn.Module) -> Iterator[None]:
    """BatchNorm layers in train mode normalise by the batch as ever, without updating their running statistics."""
    layers = [
        layer
        for layer in networks.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
