"""How many threads a run has and how they wait: set before torch is loaded, since OpenMP reads it only then.

Two kinds of waiting make a step many times longer beside other busy programs. Inside oneDNN's weight gradients of
convolutions, threads meet again and again and spin until all have come, which no setting changes: a thread that has no
processor holds up all others, and they take processors from it while they wait. Threads of OpenMP spin at the end of
each parallel region, for milliseconds by default. So a run takes no more threads than processors are free, and they
spin for a shorter time.
"""

import os
import sys
import time
from pathlib import Path

from sslhsic_transfer._processes import process_count
from sslhsic_transfer._processors import physical_processors, usable_cpus

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Rounds of spinning before a thread of GNU's OpenMP sleeps: a fraction of a millisecond, where the default of 300,000
# takes several. Not to spin at all makes a quiet step a tenth longer: it then sleeps and wakes thousands of times.
_SPINS = "10000"
_COUNTING = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CHOSEN_HERE = "SSLHSIC_THREADS_BY_LOAD"  # beside OMP_NUM_THREADS: that it was not the user who set it
_SAMPLE = 0.5  # seconds; /proc/stat counts in hundredths
_SAMPLES = 6  # at most: what is busy for a moment only must not slow down hours


def share_processors(*, computes: bool = True) -> str | None:
    """Set how the threads of this process wait and, if it computes for long, how many they are.

    What the user has set stays. Does nothing once torch is loaded. Processes of a launcher keep its thread count.

    Args:
        computes: whether to look at how many processors are free, for half a second, or for three seconds where some
            are not, and to take a thread for each. Torch takes one for each physical processor that its affinity
            allows, whatever the control group allows and others use.

    Returns:
        What to tell the user where other programs have made the threads fewer, else None.
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
    if threads < ours:  # else torch's own count, which is the same
        os.environ.update({"OMP_NUM_THREADS": str(threads), _CHOSEN_HERE: "1"})
    if threads == allowed:
        return None
    return (
        f"Other programs keep processors busy: computing on {threads} of {allowed} threads, which is faster beside "
        f"them. OMP_NUM_THREADS={allowed} takes all; the last bits of results depend on the count."
    )


def resume_threads(count: int | None) -> None:
    """Compute on as many threads as a run began with, for the same bits; what the user or a launcher has set stays.

    Args:
        count: how many; None: a checkpoint of before does not tell.
    """
    if count is not None and (os.environ.get(_CHOSEN_HERE) or not _any_set(_COUNTING)):
        import torch

        torch.set_num_threads(count)


def idle_processors(stat: Path, seconds: float) -> float:
    """Processors' worth of time that nobody uses, of those in this process's affinity; infinite where unknown.

    What low priorities use counts as idle: it gives way.
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
    """Idle and all time of some processors since the machine's start, in ticks."""
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
