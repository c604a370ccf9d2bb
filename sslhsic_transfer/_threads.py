"""Number and waiting behavior of a run's threads. Both are set before torch is loaded, when OpenMP reads them.

Two kinds of waiting make a step many times slower next to other busy programs. First, threads in oneDNN's weight
gradients of convolutions meet repeatedly and spin until all have arrived; no setting changes this. A thread without a
processor delays all others, which take up processors while they wait. Second, OpenMP threads spin at the end of each
parallel region, for milliseconds by default. Therefore a run uses no more threads than there are free processors, and
they spin for a shorter time.
"""

import os
import sys
import time
from pathlib import Path

from sslhsic_transfer._processes import process_count
from sslhsic_transfer._processors import physical_processors, usable_cpus

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Rounds of spinning before a GNU OpenMP thread sleeps: a fraction of a millisecond, against several for the default of
# 300,000. Without any spinning, a step on a quiet machine takes a tenth longer: it sleeps and wakes thousands of times.
_SPINS = "10000"
_COUNTING = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CHOSEN_HERE = "SSLHSIC_THREADS_BY_LOAD"  # set together with OMP_NUM_THREADS, to tell that the user did not set that
_SAMPLE = 0.5  # seconds; /proc/stat counts in hundredths
_SAMPLES = 6  # at most; a short load must not slow down hours of work


def share_processors(*, computes: bool = True) -> str | None:
    """Set how this process's threads wait and, if it computes for long, how many there are.

    User settings are kept. Does nothing once torch is loaded. Processes of a launcher keep its thread count.

    Args:
        computes: whether to measure the number of free processors and use one thread for each. It takes half a second,
            or three seconds if some are busy. Torch by default uses one thread for each physical processor in its
            affinity, whatever the control group's quota and the load.

    Returns:
        A message for the user if other programs reduced the number of threads, else None.
    """
    if "torch" in sys.modules:
        return None
    if not _any_set(_WAITING):
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    if not computes or _any_set(_COUNTING) or process_count() > 1:
        return None
    ours = physical_processors()
    allowed = min(ours, usable_cpus())
    free = 0
    for _ in range(_SAMPLES):
        free = max(free, round(min(allowed, idle_processors(Path("/proc/stat"), _SAMPLE))))
        if free == allowed:
            break
    threads = max(1, free)
    if threads < ours:  # otherwise torch's own count is the same
        os.environ.update({"OMP_NUM_THREADS": str(threads), _CHOSEN_HERE: "1"})
    if threads == allowed:
        return None
    return (
        f"Other programs keep processors busy: computing on {threads} of {allowed} threads, which is faster beside "
        f"them. OMP_NUM_THREADS={allowed} takes all; the last bits of results depend on the count."
    )


def resume_threads(count: int | None) -> None:
    """Use as many threads as at the start of the run, for identical bits; user and launcher settings are kept.

    Args:
        count: number of threads; None for an older checkpoint that does not record it.
    """
    if count is not None and (os.environ.get(_CHOSEN_HERE) or not _any_set(_COUNTING)):
        import torch

        torch.set_num_threads(count)


def idle_processors(stat: Path, seconds: float) -> float:
    """Measure how many processors of this process's affinity are idle on average; infinite if unknown.

    Processors used by low-priority programs count as idle, because those programs give way.
    """
    if not hasattr(os, "sched_getaffinity"):
        return float("inf")
    own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        before = _times(stat, own)
        time.sleep(seconds)
        after = _times(stat, own)
    except (OSError, ValueError):
        return float("inf")
    idle, total = (end - start for start, end in zip(before, after, strict=True))
    return len(own) * idle / total if total > 0 else float("inf")


def _times(stat: Path, own: set[str]) -> tuple[int, int]:
    """Return idle and total time of some processors since boot, in ticks."""
    idle = total = 0
    for line in stat.read_text(encoding="ascii").splitlines():
        name, *counts = line.split()
        if name in own:
            _, nice, _, unused, waiting, *_ = ticks = [int(count) for count in counts[:8]]
            idle += nice + unused + waiting
            total += sum(ticks)
    return idle, total


def _any_set(names: tuple[str, ...]) -> bool:
    return any(os.environ.get(name) for name in names)
