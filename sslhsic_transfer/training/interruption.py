"""Handling of signals that ask a run to stop, so that it can save its state and stop between two steps."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

# Launchers pass signals on to processes that have already received them from a terminal or scheduler.
_SAME_REQUEST_SECONDS = 3.0


class Interruption:
    """Context in which a first SIGTERM or SIGINT is only recorded; one that follows seconds later acts as usual.

    Signals can only be handled in the main thread; in other threads nothing is recorded.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._noted_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._noted_at = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._noted_at > _SAME_REQUEST_SECONDS:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
