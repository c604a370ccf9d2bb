import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from sslhsic_transfer._locks import changing, writing
from sslhsic_transfer.errors import OutputBusyError

HOLD = """
import sys, time
from pathlib import Path
from sslhsic_transfer._locks import writing
from sslhsic_transfer.data.readers import reading_ahead

path = Path(sys.argv[1])
with writing(path, path / ".lock"):
    for item in reading_ahead(list(range(10_000_000)), 2, batch_size=None):
        if not item:
            print("held", flush=True)
        time.sleep(0.01)
"""


def test_one_process_writes_and_a_killed_one_blocks_nobody(tmp_path):
    output = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputBusyError, match=r"Another process is writing .*run"),
            writing(output, output / ".lock"),
        ):
            pass
        other.kill()  # its readers live on for a moment
        other.wait()
        with writing(output, output / ".lock"):
            pass
        with suppress(ProcessLookupError):
            os.killpg(other.pid, signal.SIGKILL)


def test_nothing_is_left_of_it(tmp_path):
    output = tmp_path / "a" / "b" / "out"
    with writing(output, output.with_name(".out.lock")):
        assert output.parent.is_dir()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="inside"), changing(output):
        raise ValueError("inside")
    assert not list(tmp_path.iterdir())
    with changing(output):
        output.write_text("made")
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_a_lock_file_that_was_left_behind_does_not_block(tmp_path):
    (tmp_path / ".lock").write_text("1234")
    with writing(tmp_path, tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()
