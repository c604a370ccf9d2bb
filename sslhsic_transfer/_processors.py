"""The number of processors that this process may use."""

import math
import os
from pathlib import Path

_GROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Count the processors that this process may use, by its affinity and its control group's quota, if any."""
    quota = min(_quota(_GROUPS), _own_quota(_GROUPS, _MEMBERSHIP))
    return max(1, math.ceil(min(len(_affinity()), quota)))


def physical_processors(machine: Path = Path("/sys/devices/system/cpu")) -> int:
    """Count the cores in this process's affinity; two hardware threads of one core count once, as in torch."""
    cores: set[str] = set()
    for number in _affinity():
        try:
            siblings = (machine / f"cpu{number}/topology/thread_siblings_list").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            siblings = str(number)
        cores.add(siblings)
    return max(1, len(cores))


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _own_quota(groups: Path, membership: Path) -> float:
    """Return the smallest quota of this process's control groups below the root, such as a batch system's."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return math.inf
    least = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        group = root / path.lstrip("/")
        while group != root and root in group.parents:
            least = min(least, _version_1(group) if controllers else _version_2(group))
            group = group.parent
    return least


def _quota(groups: Path) -> float:
    """Return a container's CPU quota in processors, by version 2 or 1 of control groups; infinite without a quota."""
    return min(_version_2(groups), _version_1(groups / "cpu"))


def _version_2(group: Path) -> float:
    try:
        limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return math.inf
    return _processors_worth(limit, period)


def _version_1(group: Path) -> float:
    try:
        limit = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
        period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return math.inf
    return _processors_worth(limit, period)


def _processors_worth(limit: str, period: str) -> float:
    if not limit.isdigit() or not period.isdigit():  # "max" in version 2, -1 in version 1
        return math.inf
    return int(limit) / max(1, int(period))
