"""Checks that end in every way that there is, for the tests of what runs them."""

import os
import time
from pathlib import Path

from tools.gpu_checks.check import Bench, Check, CheckFailed, NotRun


def holds(bench: Bench) -> None:
    bench.at_most("error", 0.5, 1.0)
    bench.at_least("cosine", 1.0, 0.9)
    bench.tell("speed", 3.0)
    bench.notes.append("a note")


def breaks(bench: Bench) -> None:
    bench.at_most("error", 2.0, 1.0)


def is_no_number(bench: Bench) -> None:
    bench.at_least("cosine", float("nan"), 0.9)


def measures_nothing(bench: Bench) -> None:
    bench.tell("speed", 3.0)


def says_so(bench: Bench) -> None:
    raise CheckFailed("found 1, expected 2")


def raises(bench: Bench) -> None:
    bench.at_most("error", 0.5, 1.0)
    raise ValueError("of the library")


def cannot(bench: Bench) -> None:
    bench.at_most("error", 0.5, 1.0)
    raise NotRun("the weights are not here")


def crashes(bench: Bench) -> None:
    os._exit(7)


def starts_and_waits(bench: Bench) -> None:
    """Leave the number of a process of its own beside the output, and never come back."""
    program = bench.folder / "sleep.py"
    program.write_text("import time; time.sleep(600)")
    started = bench.start(str(program))
    (bench.folder / "process").write_text(str(started.process.pid))
    time.sleep(600)


def program_fails(bench: Bench) -> None:
    program = bench.folder / "fails.py"
    program.write_text("raise SystemExit('no such thing')")
    bench.finish(bench.start(str(program)))


def runs_a_command(bench: Bench) -> None:
    bench.at_most("version", float("0.1.0" not in bench.sslhsic("--version")), 0)


def process_of(output: Path) -> int:
    return int((output / "work/is.late/process").read_text())


CHECKS = (
    Check("is.good", holds),
    Check("is.broken", breaks),
    Check("is.nan", is_no_number),
    Check("is.empty", measures_nothing),
    Check("is.told", says_so),
    Check("is.error", raises),
    Check("is.impossible", cannot),
    Check("is.needy", holds, ("cuda", "compiler")),
    Check("is.crash", crashes),
    Check("is.late", starts_and_waits, seconds=0.2),
    Check("is.program", program_fails),
    Check("is.command", runs_a_command),
)
