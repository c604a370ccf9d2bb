"""How a command that fails says so: one message on standard error, and an exit status."""

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.cli.stopping import Stopped
from sslhsic_transfer.errors import SSLHSICError, StoppedError

_TRACEBACK = "SSLHSIC_TRACEBACK"  # any value: a fault of the library shows where it is


def report(error: BaseException, received: signal.Signals | None) -> int:
    """Say why a command ended.

    Args:
        error: what it raised.
        received: the signal that came, if any did. Whatever is raised after it comes of it: libraries turn
            KeyboardInterrupt into errors of their own where it meets them at their import.

    Returns:
        The exit status.
    """
    if isinstance(error, StoppedError):
        if is_main_process():
            _say(str(error))
        return 128 + error.signal
    if received is not None or isinstance(error, KeyboardInterrupt | Stopped):
        number = received or signal.SIGINT
        told = " ".join(map(str, error.args)) if isinstance(error, KeyboardInterrupt | Stopped) else ""
        if is_main_process():
            _say(f"Stopped by {number.name}. {told or 'Files that were not finished are not there.'}")
        return 128 + number
    if isinstance(error, SSLHSICError):
        _say(f"error: {error}")
    elif isinstance(error, OSError):  # of the machine: no room, no such folder, no permission
        where = f"{error.filename}: " if error.filename is not None else ""
        room = ". Make room, then start the same command again" if error.errno == errno.ENOSPC else ""
        _say(f"error: {where}{error.strerror or error}{room}")
    elif isinstance(error, MemoryError):
        _say("error: there is not enough memory. Choose smaller batches or pictures, or fewer workers")
    else:
        if os.environ.get(_TRACEBACK):
            traceback.print_exception(error)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        _say(f"error: {reason} (a fault of sslhsic-transfer: {_TRACEBACK}=1 shows where; please report it)")
    return 1


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show the library's warnings by what they say, without the place in the code."""
    before = warnings.formatwarning

    def formatted(message: Warning | str, category: type[Warning], *place: object, **named: object) -> str:
        if category is UserWarning:
            return f"warning: {message}\n"
        return before(message, category, *place, **named)  # type: ignore[arg-type]

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


def _say(text: str) -> None:
    """Print to standard error, whatever it can encode."""
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, errors="backslashreplace").decode(encoding), file=sys.stderr)
