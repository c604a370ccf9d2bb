import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslhsic_transfer import _processors, _threads

SETTINGS = {*_threads._WAITING, *_threads._COUNTING, _threads._CHOSEN_HERE, "WORLD_SIZE"}


@pytest.fixture
def machine(monkeypatch):
    """Four cores, no torch yet, nothing set, and as many processors idle as a test says."""

    def set_up(*, idle: float, usable: int = 4) -> None:
        monkeypatch.setattr(_threads, "physical_processors", lambda: 4)
        monkeypatch.setattr(_threads, "usable_cpus", lambda: usable)
        monkeypatch.setattr(_threads, "idle_processors", lambda *_: idle)

    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key not in SETTINGS})
    monkeypatch.delitem(sys.modules, "torch")
    return set_up


def chosen() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key in SETTINGS}


@pytest.mark.parametrize(
    ("idle", "usable", "threads", "told"),
    [
        (3.9, 4, None, False),
        (float("inf"), 4, None, False),
        (float("inf"), 8, None, False),  # two hardware threads a core: torch's own count stays
        (4.0, 2, "2", False),  # a container's quota
        (1.9, 4, "2", True),
        (1.2, 2, "1", True),
        (0.0, 4, "1", True),
    ],
)
def test_threads_are_as_many_as_are_allowed_and_free(machine, idle, usable, threads, told):
    machine(idle=idle, usable=usable)
    notice = _threads.share_processors()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
    assert os.environ.get("OMP_NUM_THREADS") == threads
    assert (notice is not None) == told
    assert notice is None or f"on {threads} of {min(4, usable)} threads" in notice


def test_what_is_busy_for_a_moment_only_does_not_count(machine, monkeypatch):
    machine(idle=0.0)
    looks = iter([0.2, 2.1, 3.8, 0.0])
    monkeypatch.setattr(_threads, "idle_processors", lambda *_: next(looks))
    assert _threads.share_processors() is None
    assert "OMP_NUM_THREADS" not in os.environ
    assert next(looks) == 0.0, "looked on after all were free"


@pytest.mark.parametrize(
    ("name", "value", "waits", "counts"),
    [
        ("OMP_WAIT_POLICY", "active", False, True),
        ("GOMP_SPINCOUNT", "5000", False, True),
        ("KMP_BLOCKTIME", "1", False, True),
        ("OMP_NUM_THREADS", "3", True, False),
        ("MKL_NUM_THREADS", "3", True, False),
        ("WORLD_SIZE", "2", True, False),
    ],
)
def test_what_the_user_or_a_launcher_has_set_stays(machine, name, value, waits, counts):
    machine(idle=0.0)
    os.environ[name] = value
    _threads.share_processors()
    expected = {name: value}
    expected |= {"GOMP_SPINCOUNT": "10000"} if waits else {}
    expected |= {"OMP_NUM_THREADS": "1", _threads._CHOSEN_HERE: "1"} if counts else {}
    assert chosen() == expected


def test_a_command_that_does_not_train_is_not_kept_waiting(machine, monkeypatch):
    machine(idle=0.0)
    monkeypatch.setattr(_threads, "idle_processors", lambda *_: pytest.fail("looked at the load"))
    assert _threads.share_processors(computes=False) is None
    assert chosen() == {"GOMP_SPINCOUNT": "10000"}


def test_nothing_is_set_once_torch_is_loaded(machine, monkeypatch):
    machine(idle=0.0)
    monkeypatch.setitem(sys.modules, "torch", object())
    assert _threads.share_processors() is None
    assert not chosen()


def test_idle_time_is_that_of_the_affinity_and_low_priorities_count_as_idle(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    lines = [
        "cpu  9 9 9 9 9 0 0 0 0 0",
        "cpu0 {0} 0 0 0 0 0 0 0 0 0",
        "cpu1 {1} {2} 0 {3} {4} 0 0 0 0 0",
        "cpu2 0 0 0 {0}",
    ]
    moments = iter([(0, 10, 10, 10, 10), (100, 70, 20, 30, 20)])  # of processor 1: 60 ticks used, 10 + 20 + 10 not

    def write(*_: float) -> None:
        stat.write_text("\n".join(lines).format(*next(moments)) + "\nintr 5\n")

    write()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    monkeypatch.setattr(_threads.time, "sleep", write)
    assert _threads.idle_processors(stat, 1.0) == pytest.approx(0.4)
    assert _threads.idle_processors(tmp_path / "nothing", 0.0) == float("inf")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux counts ticks there")
def test_idle_processors_of_this_machine():
    assert 0 <= _threads.idle_processors(Path("/proc/stat"), 0.1) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, 1), ({"OMP_NUM_THREADS": "2"}, 2), ({"OMP_NUM_THREADS": "2", _threads._CHOSEN_HERE: "1"}, 1)],
    ids=["free", "set by the user", "chosen by load"],
)
def test_a_resumed_run_has_its_first_threads_unless_the_user_has_set_them(environment, expected):
    code = "import torch\nfrom sslhsic_transfer._threads import resume_threads\n"
    code += "torch.set_num_threads(2); resume_threads(1); print(torch.get_num_threads())"
    assert int(python(code, environment)) == expected


@pytest.mark.parametrize("command", ["pretrain", "models"])
@pytest.mark.parametrize(
    ("environment", "spins"), [({}, "10000"), ({"OMP_WAIT_POLICY": "passive"}, None)], ids=["free", "set"]
)
def test_the_command_line_sets_threads_before_torch_is_loaded(command, environment, spins):
    """A command that only reports what it finds takes the place of the real ones."""
    code = f"""
import json, os, sys
import sslhsic_transfer.cli as cli
from sslhsic_transfer import _processors, _threads
_threads.idle_processors = lambda *_: 0.0
_threads.physical_processors = lambda: 2
assert "torch" not in sys.modules

def app():
    settings = dict(os.environ)
    import torch
    names = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    print(json.dumps([settings.get(name) for name in names] + [torch.get_num_threads()]))

import sslhsic_transfer.cli.app
sslhsic_transfer.cli.app.app = app
sys.argv = ["sslhsic", "{command}"]
cli.main()
"""
    found = json.loads(python(code, environment))
    assert found[0] == spins
    if command == "pretrain":
        assert found[1:] == ["1", 1]
    else:
        assert found[1] is None


def test_importing_the_package_sets_nothing():
    code = (
        "import os; before = dict(os.environ); import sslhsic_transfer, sslhsic_transfer._threads, sslhsic_transfer.cli"
    )
    assert python(f"{code}; print(dict(os.environ) == before)", {}).strip() == "True"


def python(code: str, environment: dict[str, str]) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/job/step\n", {"job/cpu.max": "200000 100000", "job/step/cpu.max": "max 100000"}, 2.0),
        ("4:memory:/job\n1:cpu,cpuacct:/job\n", {"cpu/job": "150000 100000"}, 1.5),
        ("4:cpuset:/job\n", {"cpu/job": "150000 100000"}, float("inf")),
        ("0::/\n", {}, float("inf")),
    ],
    ids=["version 2", "version 1", "another controller", "the root"],
)
def test_a_quota_may_be_that_of_a_group_above(tmp_path, membership, files, expected):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        path = tmp_path / name
        if path.name == "cpu.max":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            path.mkdir(parents=True)
            for part, number in zip(("quota", "period"), text.split(), strict=True):
                (path / f"cpu.cfs_{part}_us").write_text(number)
    assert _processors._own_quota(tmp_path, tmp_path / "membership") == expected
    assert _processors._own_quota(tmp_path, tmp_path / "nothing") == float("inf")


def test_two_hardware_threads_of_a_core_count_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 5}, raising=False)
    for number, siblings in enumerate(("0,4", "1,5", "2,6", "3,7", "0,4", "1,5")):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert _processors.physical_processors(tmp_path) == 4
    assert _processors.physical_processors(tmp_path / "nothing") == 5
