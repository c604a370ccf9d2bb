"""Results of a run of the checks: a line for each as it ends, one table, and gpu-check.json."""

import dataclasses
import datetime
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.gpu_checks.check import Check, Place, Result

JSON_NAME = "gpu-check.json"
_SHOWN = 118  # characters of a row's last column


class Report:
    """Results as they come.

    Args:
        checks: all that are to run, in the order of the table.
        place: where they run; gpu-check.json is written to its output after each.
    """

    def __init__(self, checks: Sequence[Check], place: Place) -> None:
        self.results = {check.name: Result(check.name, "not run", reason="not begun") for check in checks}
        self._place = place
        self._machine = machine(place.device)
        self._ended = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.write(complete=False)

    def add(self, result: Result) -> None:
        """Record a result, print it and write all of them."""
        with self._lock:
            self.results[result.name] = result
            self._ended += 1
            count = f"[{self._ended:{len(str(len(self.results)))}}/{len(self.results)}]"
            print(f"{count} {result.outcome:7} {result.name}, {result.seconds:.1f} s: {_told(result)}", flush=True)
            self.write(complete=False)

    def count(self, outcome: str) -> int:
        """Count the checks with an outcome."""
        return sum(result.outcome == outcome for result in self.results.values())

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def write(self, *, complete: bool) -> Path:
        """Write gpu-check.json.

        Args:
            complete: whether the run has come to its end.
        """
        from sslhsic_transfer._files import write_json

        document = {
            "date": self._date,
            "complete": complete,
            "seconds": round(self.seconds, 1),
            "jobs": self._place.jobs,
            "machine": self._machine,
            **{outcome.replace(" ", "_"): self.count(outcome) for outcome in ("passed", "failed", "not run")},
            "checks": [dataclasses.asdict(result) for result in self.results.values()],
        }
        path = self._place.output / JSON_NAME
        write_json(path, document)
        return path

    def table(self) -> str:
        """Return one row for each check, then the counts."""
        width = max(map(len, self.results), default=0)
        rows = [f"{'check':{width}}  outcome        s    GiB  found"]
        for result in self.results.values():
            memory = "–" if result.peak_gib is None else f"{result.peak_gib:.2f}"
            found = _told(result)
            found = found if len(found) <= _SHOWN else found[: _SHOWN - 1] + "…"
            rows.append(f"{result.name:{width}}  {result.outcome:7}  {result.seconds:7.1f}  {memory:>5}  {found}")
        counts = ", ".join(f"{self.count(outcome)} {outcome}" for outcome in ("passed", "failed", "not run"))
        facts = self._machine
        where = facts.get("gpu") or f"{facts['device']}, {facts['cpus']} processors"
        return "\n".join([*rows, "", f"{where}, torch {facts['torch']}: {counts}; {self.seconds:.0f} s"])


def _told(result: Result) -> str:
    """Describe a result in a line: why it failed, or the figure nearest to its bound, unbounded ones, and notes."""
    if result.reason:
        return " ".join(result.reason.split())[:400]
    bounded = [figure for figure in result.figures if figure.bound is not None]
    bounded.sort(key=lambda figure: -figure.strain)
    others = f" and {len(bounded) - 1} further from theirs" if len(bounded) > 1 else ""
    free = [str(figure) for figure in result.figures if figure.bound is None]
    return "; ".join([*(f"{figure}{others}" for figure in bounded[:1]), *free, *result.notes])


def machine(device: str) -> dict[str, Any]:
    """Return GPU, driver, versions and precision switches, as a fresh process has them."""
    import torch
    import torchvision

    facts: dict[str, Any] = {
        "device": device,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "switches": {
            "cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn.benchmark": torch.backends.cudnn.benchmark,
            "cudnn.deterministic": torch.backends.cudnn.deterministic,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        },
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": properties.name,
            "gpu_gib": round(properties.total_memory / 2**30, 1),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "driver": _driver(),
        }
    return facts


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown: {error}"
    return done.stdout.splitlines()[0].strip()
