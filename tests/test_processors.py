import os

import pytest

from sslhsic_transfer import _processors
from sslhsic_transfer._processors import usable_cpus


def test_processors_are_those_of_the_affinity_and_the_quota(monkeypatch):
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(_processors, "_quota", lambda _: 2.5)
    assert usable_cpus() == 3


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({"cpu.max": "nonsense"}, float("inf")),
        ({}, float("inf")),
    ],
    ids=str,
)
def test_quotas_of_containers(tmp_path, contents, expected):
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _processors._quota(tmp_path) == expected
