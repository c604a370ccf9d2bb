"""Check that every part of the library does the same on a GPU as on a CPU, in minutes, without a network.

python tools/gpu_check.py [--device cuda|cpu] [--only NAME…] [--list] [--jobs N] [--output DIR] [--budget SECONDS]

Runs the checks of `tools/gpu_checks/table.py` in a few worker processes that share the device. Prints a line for each
as it ends, then one table; DIR/gpu-check.json holds every figure and is written after each check. A check that cannot
run says why and counts as not run. The exit status is 0 where checks have passed and none has failed.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # at the end: an installed package goes before its sources

from sslhsic_transfer._processors import usable_cpus  # noqa: E402 - found by the line above
from tools.gpu_checks.check import Check, Place  # noqa: E402
from tools.gpu_checks.report import Report  # noqa: E402
from tools.gpu_checks.runner import run_checks  # noqa: E402

_JOBS = {"cuda": 5, "cpu": 2}
_BUDGET = {"cuda": 360.0, "cpu": 1800.0}  # seconds


def run(checks: Sequence[Check], place: Place, budget: float) -> int:
    """Run checks and report their results.

    Args:
        checks: what to run.
        place: where; what an earlier run left in its output is removed.
        budget: seconds after which no more checks are begun.

    Returns:
        The exit status.
    """
    for name in ("work", "logs"):
        shutil.rmtree(place.output / name, ignore_errors=True)
    place.output.mkdir(parents=True, exist_ok=True)
    report = Report(checks, place)
    complete = False
    try:
        run_checks(checks, place, budget, report.add)
        complete = True
    finally:
        path = report.write(complete=complete)
        print(f"\n{report.table()}\nWritten to {path}", flush=True)
    return int(report.count("failed") > 0 or report.count("passed") == 0)


def chosen(checks: Sequence[Check], only: Sequence[str]) -> list[Check]:
    """Select the checks whose names begin with one of those given; all where none is given.

    Raises:
        SystemExit: no check begins with a given name.
    """
    for name in only:
        if not any(check.name.startswith(name) for check in checks):
            raise SystemExit(f"No check begins with {name!r}; --list shows all.")
    return [check for check in checks if not only or check.name.startswith(tuple(only))]


def _output() -> Path:
    """Return the output folder: below the folder that the variable OUT names, if it is set, else in the checkout."""
    return Path(os.environ["OUT"]) / "gpu-check" if os.environ.get("OUT") else ROOT / "runs/gpu-check"


def _device(wanted: str | None) -> str:
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise SystemExit("torch finds no CUDA here; --device cpu (make gpu-check DEVICE=cpu) checks without.")
    return wanted or ("cuda" if there else "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="by default CUDA where there is one")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="checks that begin so")
    parser.add_argument("--list", action="store_true", help="show the checks and run none")
    parser.add_argument("--jobs", type=int, help="checks at a time; by default 5 on a GPU, 2 on a CPU")
    parser.add_argument("--output", type=Path, default=_output(), help="by default OUT/gpu-check, or runs/gpu-check")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="after which no more are begun; by default 360")
    options = parser.parse_args()
    from tools.gpu_checks.table import CHECKS

    checks = chosen(CHECKS, options.only)
    if options.list:
        print("\n".join(f"{check.name}{', needs ' * bool(check.needs)}{', '.join(check.needs)}" for check in checks))
        return
    device = _device(options.device)
    place = Place(device, options.output.resolve(), max(1, options.jobs or _JOBS[device]))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // place.jobs)))  # inherited by all processes
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # when this is ended from outside, the workers end, too
    try:
        raise SystemExit(run(checks, place, options.budget or _BUDGET[device]))
    except KeyboardInterrupt:
        raise SystemExit("Stopped.") from None


if __name__ == "__main__":
    main()
