"""Handling of Ctrl-C and SIGTERM: a command exits cleanly at any moment and reports what is saved."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

# Launchers forward a signal to processes that have already received it from a terminal or a scheduler.
_SAME_REQUEST_SECONDS = 3.0


class Stopped(BaseException):
    """Raised for Ctrl-C to bypass click, which would only print "Aborted"; the argument says what is saved."""


class Signals:
    """Context in which SIGINT and SIGTERM raise KeyboardInterrupt in the main thread.

    Signals that the process ignores stay ignored, as SIGINT does in a background job.

    Attributes:
        received: the first signal that arrived.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._noted_at = 0.0
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a reader that has just been forked has nothing to save
            os._exit(128 + number)
        if self.received is None:
            self.received, self._noted_at = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._noted_at < _SAME_REQUEST_SECONDS:
            return
        raise KeyboardInterrupt


@contextmanager
def reporting_saved(what_is_saved: Callable[[], str]) -> Iterator[None]:
    """Report what is saved if a signal ends the block.

    Args:
        what_is_saved: called in that case; returns a sentence.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(what_is_saved()) from error


def what_a_run_saved(output: Path) -> str:
    """Describe the last checkpoint of a run that was stopped outside its training steps."""
    checkpoints = sorted(path.name for path in (output / "checkpoints").glob("step-*"))
    if not checkpoints:
        return f"No step is saved in {output} yet."
    return f"{output} holds the state of {checkpoints[-1]}; go on with --resume."
