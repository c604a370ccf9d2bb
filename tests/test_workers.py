import os
import signal
import subprocess
import sys
import time

import pytest
from torch.utils.data import Dataset, IterableDataset

from sslhsic_transfer._workers import reading_ahead
from sslhsic_transfer.errors import ImageError


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


PROGRAM = """
import signal, subprocess, time
from torch.utils.data import Dataset
from sslhsic_transfer._workers import reading_ahead
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


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="senders of signals cannot be told here")
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
