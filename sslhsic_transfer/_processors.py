"""How much of the machine this process may use."""

import math
import os
from pathlib import Path


def usable_cpus() -> int:
    """Processors that this process may use: its affinity, and the quota of its control group where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, _quota(Path("/sys/fs/cgroup")))))


def _quota(groups: Path) -> float:
    """Processors' worth of time that a container may use, by version 2 or 1 of control groups; infinite without."""
    try:
        limit, period = (groups / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            limit = (groups / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (groups / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return math.inf
    if limit in ("max", "-1") or not limit.isdigit() or not period.isdigit():
        return math.inf
    return int(limit) / max(1, int(period))
