import errno
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from torch.utils.data import Dataset, IterableDataset

from sslhsic_transfer.data.readers import reading_ahead, saved_first
from sslhsic_transfer.errors import DeviceMemoryError, ImageError, ReaderError, StorageError


class Damaged(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise ImageError("2.png is damaged")
        return index


class DamagedStream(IterableDataset):
    def __iter__(self):
        yield from (0, 1)
        raise ImageError("2.png is damaged")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("dataset", [Damaged(), DamagedStream()])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_an_error_crosses_as_it_is(dataset, batch_size, workers):
    seen = []
    with pytest.raises(ImageError) as caught:
        seen.extend(int(batch) for batch in reading_ahead(dataset, workers, batch_size=batch_size))
    assert seen == [0, 1]
    assert str(caught.value) == "2.png is damaged"


class Failing(Dataset):
    """Examples of which the third raises, or does what it is told."""

    def __init__(self, failure):
        self.failure = failure

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 2:
            if callable(self.failure):
                self.failure()
            raise self.failure
        return index


class FailingStream(IterableDataset):
    def __init__(self, failure):
        self.examples = Failing(failure)

    def __iter__(self):
        for index in range(8):
            yield self.examples[index]


@pytest.mark.parametrize("make", [Failing, FailingStream])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.EIO, "Input/output error", "some/2.png"), (StorageError, "some/2.png: Input/output error")),
        (MemoryError(), (DeviceMemoryError, "no memory left to read the pictures")),
    ],
)
def test_failures_of_the_machine_cross_as_errors_of_ours(make, workers, failure, expected):
    kind, words = expected
    with pytest.raises(kind, match=words):
        list(reading_ahead(make(failure), workers, batch_size=1))


def test_other_failures_show_where_they_were(capfd):
    with pytest.raises(ZeroDivisionError, match="in __getitem__"):
        list(reading_ahead(Failing(ZeroDivisionError("odd")), 1, batch_size=1))


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.parametrize("make", [Failing, FailingStream])
@pytest.mark.usefixtures("impatient")
def test_a_killed_reader_is_one_error_of_ours(make):
    before = children()
    batches = reading_ahead(make(kill_oneself), 2, batch_size=1)
    with pytest.raises(ReaderError, match=r"was killed, most likely .*memory.*lower workers"):
        # The signal of its death comes while the main process is elsewhere: it is told when its batch is asked for.
        [time.sleep(0.05) for _ in batches]
    assert children() == before


@pytest.fixture
def impatient(monkeypatch):
    """Let loaders look after their readers more often than every five seconds."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)


def children():
    return {child.pid for child in psutil.Process().children()}


class Endless(Dataset):
    """Examples of which four come at once, and no more."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(3600 if index > 3 else 0)
        return index


@pytest.mark.usefixtures("impatient")
def test_leaving_early_ends_the_readers_even_those_that_hang():
    before = children()
    for _ in reading_ahead(Endless(), 2, batch_size=1):
        readers = children() - before
        assert len(readers) == 2
        time.sleep(0.2)  # one hangs by now
        break
    end = time.monotonic() + 30  # a busy machine takes a while to end a process
    while readers & children() and time.monotonic() < end:
        time.sleep(0.05)
    assert not readers & children()


def test_what_was_reached_is_saved_before_the_error_is_raised(tmp_path):
    saved = []

    def save():
        saved.append(len(seen))
        return tmp_path

    seen = []
    with pytest.raises(ImageError, match=rf"2\.png is damaged\nThe steps before are saved in {tmp_path}.*--resume"):
        seen.extend(saved_first(reading_ahead(Damaged(), 1, batch_size=1), save))
    with pytest.raises(ImageError, match=r"^2\.png is damaged$"):
        list(saved_first(reading_ahead(Damaged(), 0, batch_size=1), lambda: None))
    assert saved == [2]


PROGRAM = """
import signal, subprocess, time
from torch.utils.data import Dataset
from sslhsic_transfer.data.readers import reading_ahead
class Slow(Dataset):
    def __len__(self): return 100
    def __getitem__(self, index): return index
batches = iter(reading_ahead(Slow(), 2, batch_size=1))
next(batches)
signal.signal(signal.SIGTERM, lambda *_: None)
subprocess.run("kill -TERM 0", shell=True)  # to the readers, too, which go on
time.sleep(0.3)
for _ in range(50): next(batches)
kept = batches  # alive at exit, as in a traceback
print("done", flush=True)
raise SystemExit(1)
"""


def test_readers_outlive_a_signal_to_all_and_end_with_their_parent():
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        env=os.environ,
    )
    assert (ended.stdout, ended.returncode) == ("done\n", 1), ended.stderr
    assert time.monotonic() - began < 50
