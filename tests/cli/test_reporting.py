import signal
import warnings

import pytest

from sslhsic_transfer.cli.reporting import report, warnings_in_one_line
from sslhsic_transfer.cli.stopping import Stopped
from sslhsic_transfer.errors import DataError, TrainingInterruptedError


@pytest.mark.parametrize(
    ("error", "received", "status", "said"),
    [
        (DataError("no pictures"), None, 1, "error: no pictures"),
        (OSError(28, "No space left on device", "a"), None, 1, "error: a: No space left on device. Make room"),
        (MemoryError(), None, 1, "error: there is not enough memory"),
        (KeyError("x"), None, 1, "error: KeyError: 'x' (a fault of sslhsic-transfer: SSLHSIC_TRACEBACK=1 shows where"),
        (TrainingInterruptedError("Stopped by SIGTERM after step 3.", 15), None, 143, "Stopped by SIGTERM after"),
        (Stopped("Two rows are saved."), signal.SIGINT, 130, "Stopped by SIGINT. Two rows are saved."),
        (KeyboardInterrupt(), None, 130, "Stopped by SIGINT. Files that were not finished are not there."),
        (ImportError("numpy"), signal.SIGTERM, 143, "Stopped by SIGTERM. Files that were not finished"),
        (DataError("a\udce9.jpg"), None, 1, r"error: a\udce9.jpg"),
    ],
)
def test_an_error_is_one_line(error, received, status, said, capsys):
    assert report(error, received) == status
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert shown.count("\n") == 1


def test_a_fault_shows_where_it_is_if_that_is_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("SSLHSIC_TRACEBACK", "1")
    with pytest.raises(KeyError) as caught:
        {}["x"]
    report(caught.value, None)
    assert "in test_a_fault_shows_where" in capsys.readouterr().err


def test_warnings_are_what_they_say(capsys):
    before = warnings.formatwarning
    with warnings_in_one_line():
        shown = warnings.formatwarning(UserWarning("a part is damaged"), UserWarning, "file.py", 3)
        other = warnings.formatwarning(DeprecationWarning("old"), DeprecationWarning, "file.py", 3)
    assert shown == "warning: a part is damaged\n"
    assert "file.py:3" in other
    assert warnings.formatwarning is before
