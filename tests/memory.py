"""Peak memory of a piece of work, measured in a process of its own."""

import multiprocessing
import resource
import signal
from collections.abc import Callable
from typing import Any

MIB = 1 << 20


def peak_of(work: Callable[..., Any], *arguments: Any, limit: int = 120, method: str = "fork") -> tuple[str, int]:
    """Run work in a process of its own; return its result, and the mebibytes by which its peak grew.

    Args:
        work: what to run.
        arguments: of it.
        limit: seconds.
        method: how the process is started: "spawn" for work that computes with torch, whose threads do not survive a
            fork; its growth then holds what it imports.

    Returns:
        "done", the name and message of an error, or the signal that ended the process; and the growth in MiB.
    """
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        told = receiver.recv() if receiver.poll(limit) else ("took too long", 0)
    except EOFError:
        process.join()
        told = (f"ended by {signal.Signals(-(process.exitcode or 0)).name}", 0)
    process.kill()
    process.join()
    return told


def _run(sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    before = _resident()
    try:
        work(*arguments)
    except Exception as error:  # whatever it is, the test tells
        told = f"{type(error).__name__}: {error}"
    else:
        told = "done"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sender.send((told, max(0, peak - before)))


def _resident() -> int:
    """Return the peak so far; a forked process begins with its parent's pages."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
