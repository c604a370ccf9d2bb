"""The exact gradient of a large batch in the memory of a small one.

A loss that compares all rows does not split into micro-batches, but its gradient does, by the chain rule through the
embeddings (Gao et al. 2021, "GradCache"): a first pass embeds every micro-batch without a graph; the loss of all of
them gives the gradient of each; a second pass embeds each micro-batch again, with a graph, and sends its rows' gradient
back. The first micro-batch is embedded once: its graph stays from the first pass to the second, and tells which views
are trained, so that the loss computes no gradient for those of a target network.

Activations are held for one micro-batch at a time. For the whole batch, only its embeddings and its cropped pictures,
bytes in host memory, are kept. A step costs one more forward pass of all micro-batches but the first. BatchNorm
normalizes by the micro-batch; its running statistics see each micro-batch once.
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
    unsynchronized: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradient of the whole batch's loss to the parameters' ``grad``.

    Args:
        embed: function from the content of a micro-batch to its embeddings, M tensors (b, d). Both calls must give the
            same result, apart from dropout and the like. Embeddings that are detached in the first micro-batch, such as
            those of a target network, get no gradient in any.
        criterion: function from the whole batch's embeddings to the loss and scalars.
        micro_batches: the arguments of ``embed`` for each micro-batch.
        backward: function that starts the loss's backward pass (a gradient scaler's, for example).
        networks: module that holds the BatchNorm layers that ``embed`` uses.
        unsynchronized: a context in which processes do not exchange gradients, for all micro-batches but the last.

    Returns:
        The loss and scalars of the whole batch.
    """
    others = micro_batches[1:]
    with unsynchronized() if others else nullcontext():
        kept = embed(*micro_batches[0])
        with torch.no_grad(), _statistics_at_rest(networks):
            parts = [[view.detach() for view in kept], *(embed(*part) for part in others)]
        whole = [
            torch.cat(views).requires_grad_(trained.requires_grad) for trained, *views in zip(kept, *parts, strict=True)
        ]
        loss, scalars = criterion(whole)
        backward(loss)
        sizes = [len(views[0]) for views in parts]
        first, *gradients = zip(*(_split_gradient(view, sizes) for view in whole), strict=True)
        _backward_from(kept, first)
        del kept
    for number, (part, gradient) in enumerate(zip(others, gradients, strict=True), start=1):
        with unsynchronized() if number < len(others) else nullcontext():
            _backward_from(embed(*part), gradient)
    return loss.detach(), scalars


def _split_gradient(view: Tensor, sizes: list[int]) -> Sequence[Tensor | None]:
    return view.grad.split(sizes) if view.grad is not None else [None] * len(sizes)


def _backward_from(embeddings: list[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Backpropagate the gradients of a micro-batch's views through the networks; views without one are skipped."""
    pairs = [pair for pair in zip(embeddings, gradients, strict=True) if pair[1] is not None]
    torch.autograd.backward([pair[0] for pair in pairs], [pair[1] for pair in pairs])


@contextmanager
def _statistics_at_rest(networks: nn.Module) -> Iterator[None]:
    """Keep BatchNorm layers in train mode from updating their running statistics; they still normalize by the batch."""
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
