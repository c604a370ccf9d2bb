"""The command `sslhsic`. What it does is in `sslhsic_transfer.cli.app`; here is how it begins and ends.

Nothing is imported before signals are watched, so that not even Ctrl-C at once gives a traceback.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; an error of ours or of the machine is one message and exit status 1, without a traceback.

    A run that a signal stopped ends with the status that shells give to it, 128 + its number.
    """
    from sslhsic_transfer.cli.stopping import Signals

    with Signals() as signals:
        try:
            _call()
            status = 0
        except SystemExit:  # of typer, which has said why
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
