"""A training step as one CUDA graph, which launches all of its kernels at once.

A step of a small network is bound by the host, which launches some 1,700 kernels one by one (docs/gpu.md has figures).
The graph holds the color operations, forward passes, loss and backward pass. Crops, random features, optimizers and
averages stay outside, because their random numbers and rates are new at each step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Recorder(Protocol):
    """Interface of recorders of a function's kernels: `CudaRecorder`, or in tests one that calls the function again."""

    def record(self, function: Callable[[], None]) -> None:
        """Record the kernels that a function launches."""

    def replay(self) -> None:
        """Launch the recorded kernels again, on the same memory."""


class CudaRecorder:
    """Recorder that keeps kernels in a CUDA graph."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def record(self, function: Callable[[], None]) -> None:
        """Record the kernels that a function launches, without running them."""
        # Only this thread is restricted to recordable calls, because another one pins the readers' batches meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            function()

    def replay(self) -> None:
        """Launch the recorded kernels again, on the same memory."""
        self._graph.replay()


class RecordedStep:
    """A step that is recorded once for each new shape of its inputs, and replayed on further inputs of that shape.

    Gradients lie in the graph's memory and are overwritten by each replay; they must not be set to None in between.

    Args:
        step: function that computes gradients from its inputs and returns tensors in any container; it must neither
            wait for the device nor read the host's memory.
        modules: the networks that it changes. After the warm-up their buffers are restored; their gradients lie in the
            graph's memory.
        recorder: function that makes a recorder.
    """

    # cuDNN and cuBLAS choose kernels and allocate memory in the first calls, which must not be recorded.
    _WARM_UP = 3

    def __init__(
        self, step: Callable[..., Any], modules: Sequence[nn.Module], recorder: Callable[[], Recorder]
    ) -> None:
        self._step = step
        self._modules = modules
        self._make_recorder = recorder
        self._shapes: list[torch.Size] = []
        self._inputs: list[Tensor] = []
        self._outputs: Any = None
        self._recorder: Recorder | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Make a step.

        Args:
            inputs: tensors on the device.

        Returns:
            The tensors that the step returns, in memory that the next call overwrites.
        """
        shapes = [value.shape for value in inputs]
        recorder = self._recorder
        if recorder is None or shapes != self._shapes:
            self._recorder = self._outputs = recorder = None  # frees its memory for the next recording
            self._inputs, self._shapes = [value.clone() for value in inputs], shapes
            recorder = self._recorder = self._record()
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value, non_blocking=True)
        recorder.replay()
        return self._outputs

    def _record(self) -> Recorder:
        self._warm_up()
        self._forget_gradients()
        recorder = self._make_recorder()

        def step() -> None:
            self._outputs = self._step(*self._inputs)

        recorder.record(step)
        return recorder

    def _warm_up(self) -> None:
        buffers = [buffer for module in self._modules for buffer in module.buffers()]
        before = [buffer.clone() for buffer in buffers]
        with _side_stream(self._inputs[0].device):
            for _ in range(self._WARM_UP):
                self._forget_gradients()
                self._step(*self._inputs)
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)

    def _forget_gradients(self) -> None:
        for module in self._modules:
            module.zero_grad(set_to_none=True)


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Run the block on a separate stream, as CUDA requires before a recording; on other devices do nothing."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)
