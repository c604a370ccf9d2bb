"""Time and memory on a device that works while the host goes on."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import torch


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget(device: torch.device) -> None:
    """Free what earlier measurements hold, and count the peak of memory anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> dict[str, float]:
    """Return the most memory that tensors have held on a GPU since `forget`, as a detail; elsewhere none is counted."""
    return {"peak GiB": torch.cuda.max_memory_allocated(device) / 2**30} if device.type == "cuda" else {}


def seconds_of(function: Callable[[], object], device: torch.device, *, budget: float = 1.0, most: int = 50) -> float:
    """Measure the median seconds of a call after two untimed ones; on CUDA by events, so that the host does not count.

    Args:
        function: gives the device its work.
        device: where that is done.
        budget: seconds in all, about; there are three calls at least.
        most: calls.
    """
    function()
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    count = max(3, min(most, int(budget / max(time.perf_counter() - start, 1e-6))))
    if device.type != "cuda":
        return statistics.median(_on_host(function) for _ in range(count))
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    marks[0].record()
    for mark in marks[1:]:
        function()
        mark.record()
    synchronize(device)
    return statistics.median(a.elapsed_time(b) / 1000 for a, b in pairwise(marks))


def _on_host(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def speed(steps: Iterator[object], images: int, count: int, *, warm_up: int) -> float:
    """Measure images per second of ``count`` steps of so many images after ``warm_up`` that are not timed."""
    for _ in range(warm_up):
        next(steps)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return count * images / (time.perf_counter() - start)


def rate(counts: Iterable[int], warm_up: int) -> float:
    """Compute a rate per second from counts of what is done, after the first ``warm_up`` of them."""
    done, start, before = 0, 0.0, 0
    for count in counts:
        done += count
        if not start and done >= warm_up:
            start, before = time.perf_counter(), done
    return (done - before) / (time.perf_counter() - start)
