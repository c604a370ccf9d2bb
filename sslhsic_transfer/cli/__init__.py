"""The command `sslhsic`: its start and its exit status. The commands are in `sslhsic_transfer.cli.app`.

Nothing else is imported before the signal handlers are installed, so that even an early Ctrl-C gives no traceback.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. An expected error gives one message and exit status 1, without a traceback.

    A run stopped by a signal exits with the status that shells use for it, 128 + the signal's number.
    """
    from sslhsic_transfer.cli.stopping import Signals

    with Signals() as signals:
        try:
            _call()
            status = 0
        except SystemExit:  # raised by typer, which has printed the reason
            if signals.received is None:
                raise
            status = 128 + signals.received
        except BaseException as error:
            from sslhsic_transfer.cli.reporting import report

            status = report(error, signals.received)
    sys.exit(status)


def _call() -> None:
    from sslhsic_transfer._processes import is_main_process
    from sslhsic_transfer._threads import share_processors
    from sslhsic_transfer.cli.app import app
    from sslhsic_transfer.cli.reporting import warnings_in_one_line

    trains = sys.argv[1:2] in (["pretrain"], ["transfer"]) and "--help" not in sys.argv
    if (notice := share_processors(computes=trains)) is not None and is_main_process():
        print(notice, file=sys.stderr)
    with warnings_in_one_line():
        app()
