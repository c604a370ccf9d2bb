"""What a process that reads pictures does first."""

import os
import signal


def begin_worker(_: int, *, yielding: bool) -> None:
    """Leave signals to the training process and, where that is what trains, the processor, too.

    A reader that takes a core from one of the training threads makes all of them wait; with a low priority it works
    while they wait for it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if yielding and hasattr(os, "nice"):
        os.nice(19)
