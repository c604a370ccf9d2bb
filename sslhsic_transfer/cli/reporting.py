"""Reports of failed commands: one message on standard error, and an exit status."""

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

_TRACEBACK = "SSLHSIC_TRACEBACK"  # set to any value, it prints the traceback of unexpected errors


def report(error: BaseException, received: signal.Signals | None) -> int:
    """Print why a command ended.

    Args:
        error: the exception that ended it.
        received: the signal that arrived, if any. Any later exception is a result of it: some libraries turn a
            KeyboardInterrupt during their import into an error of their own.

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
    elif isinstance(error, OSError):  # the machine's: disk full, missing folder, no permission
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
    """Show this library's warnings as their message only, without the location in the code."""
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
    """Print to standard error, with escapes for characters that it cannot encode."""
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, errors="backslashreplace").decode(encoding), file=sys.stderr)
