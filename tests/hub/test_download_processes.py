"""Loading from a Hub by several processes, by one that is killed, and onto a disk that is full."""

import json
import os
import subprocess
import sys
import time

from sslhsic_transfer import from_pretrained
from tests.hub.conftest import REPO

LOAD = "import sys; from sslhsic_transfer import from_pretrained; print(from_pretrained(sys.argv[1]).weights_sha256)"


def test_processes_that_load_at_once(hub, repo, tmp_path, model_folder):
    processes = [
        subprocess.Popen([sys.executable, "-c", LOAD, REPO], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    sha256 = json.loads((model_folder / "config.json").read_text())["fingerprint"]["sha256"]
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == [sha256] * 3
    assert len(hub.asked("model.safetensors", "GET")) == 1, "one fetched, the others waited"


def test_a_load_that_is_killed_midway_is_taken_up(hub, repo, tmp_path):
    with hub.fault(path="model.safetensors", method="GET", latency=60) as fault:
        process = subprocess.Popen([sys.executable, "-c", LOAD, REPO], env=os.environ)
        while not fault.hits:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
    assert from_pretrained(REPO).feature_dim == 512


FULL = """
import resource, signal, sys
from sslhsic_transfer import from_pretrained
from sslhsic_transfer.errors import HubError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    from_pretrained(sys.argv[1])
except HubError as error:
    print(error)
"""


def test_a_full_disk_is_named_and_nothing_stays_broken(hub, repo):
    done = subprocess.run(
        [sys.executable, "-c", FULL, REPO], capture_output=True, text=True, env=os.environ, check=True
    )
    assert "The disk is full" in done.stdout
    assert "HF_HOME" in done.stdout
    assert from_pretrained(REPO).feature_dim == 512
