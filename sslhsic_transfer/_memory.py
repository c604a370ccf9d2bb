"""Memory: the amount that is free, and advice when it runs out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import DeviceMemoryError


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a CUDA device, or else on this machine and in its container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    psutil = optional_import("psutil", extra="pretrain", purpose="Watching memory")
    return min(int(psutil.virtual_memory().available), _free_in_group(Path("/sys/fs/cgroup")))


def _free_in_group(groups: Path) -> int:
    """Return the bytes below the control group's limit (version 2 or 1) without cached files; 2⁶³ if unlimited."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = (groups / limit).read_text(encoding="ascii").strip()
            taken = int((groups / used).read_text(encoding="ascii"))
            statistics = (groups / limit).with_name("memory.stat").read_text(encoding="ascii")
        except (OSError, ValueError):
            continue
        if most.isdigit():
            reclaimable = dict(line.split() for line in statistics.splitlines()).get(cached, "0")
            return max(0, int(most) - taken + int(reclaimable))
    return 2**63


def memory_gib(device: torch.device) -> float:
    """Measure memory in GiB: the peak of tensors on an accelerator that counts it, else this process's memory."""
    peak = getattr(torch.get_device_module(device), "max_memory_allocated", None)
    if peak is not None:
        return float(peak(device)) / 2**30
    psutil = optional_import("psutil", extra="pretrain", purpose="Watching memory")
    return int(psutil.Process().memory_info().rss) / 2**30


@contextmanager
def advising_on_memory(advice: str) -> Iterator[None]:
    """Turn a device's out-of-memory error into one that names the setting to change.

    Args:
        advice: which setting to change, and how.

    Raises:
        DeviceMemoryError: the device has run out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        asked = re.search(r"Tried to allocate [\d.]+ \w+", str(error))
        told = f" ({asked[0]})" if asked else ""
        raise DeviceMemoryError(f"The device has no more memory{told}. {advice}") from error
