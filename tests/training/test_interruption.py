import os
import signal
import threading

import pytest

from sslhsic_transfer.training import interruption as module
from sslhsic_transfer.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_once_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.received is None
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)  # as a launcher does that passes it on
        assert interruption.received is number
    assert signal.getsignal(number) == before


def test_a_later_signal_acts_as_ever(monkeypatch):
    monkeypatch.setattr(module, "_SAME_REQUEST_SECONDS", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_an_error_inside_puts_the_handlers_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), Interruption():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_note_nothing():
    found = []

    def work():
        with Interruption() as interruption:
            found.append(interruption.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]
