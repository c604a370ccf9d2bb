"""One check: its row in the table, the figures that it finds, and the bench that it works on."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["passed", "failed", "not run"]
PROGRAMS = Path(__file__).parent / "programs"
_TAIL = 2500  # characters of a failed process's output that a report keeps


class NotRun(Exception):  # noqa: N818 - it is no error
    """A check cannot run on this machine; the message says why."""


class CheckFailed(Exception):  # noqa: N818 - the outcome's name
    """A check failed; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Figure:
    """One number that a check found.

    Attributes:
        name: what was measured.
        value: the number.
        bound: the limit that it is compared with; None where it is only reported.
        at_most: whether the bound is an upper one.
    """

    name: str
    value: float
    bound: float | None = None
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """True if the value keeps the bound; NaN keeps none."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def strain(self) -> float:
        """How near the value comes to its bound, from 0 to 1; infinite beyond it, 0 without one."""
        if not self.holds:
            return math.inf
        if not self.bound or not self.value:
            return 0.0
        return max(0.0, self.value / self.bound if self.at_most else self.bound / self.value)

    def __str__(self) -> str:
        asked = "" if self.bound is None else f" ({'≤' if self.at_most else '≥'} {self.bound:.6g})"
        return f"{self.name} {self.value:.6g}{asked}"


@dataclass(frozen=True)
class Check:
    """A row of the table.

    Attributes:
        name: ``group.what``; `--only` takes the beginning of it.
        function: measures on a `Bench`; raises `NotRun` or `CheckFailed`, or any error of what it calls.
        needs: names of `NEEDS` without which it cannot run.
        seconds: after so many on a GPU it is stopped and has failed.
    """

    name: str
    function: Callable[["Bench"], None]
    needs: tuple[str, ...] = ()
    seconds: float = 60


@dataclass(frozen=True)
class Place:
    """Where checks run.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        output: folder of the whole run.
        jobs: how many checks run at a time.
    """

    device: str
    output: Path
    jobs: int

    @property
    def small(self) -> bool:
        """True if checks take smaller sizes."""
        return self.device == "cpu"


@dataclass
class Result:
    """The result of one check.

    Attributes:
        name: the name of the check.
        outcome: passed, failed or not run.
        figures: the numbers that it found.
        notes: further remarks.
        seconds: how long it took.
        peak_gib: the most device memory that tensors of one of its processes held; None: nobody counted.
        reason: why it failed or was not run.
        traceback: the end of the traceback of an error.
    """

    name: str
    outcome: Outcome
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_gib: float | None = None
    reason: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Started:
    """A process that a check has started.

    Attributes:
        process: the process itself.
        log: the file of what it prints.
        note: the file of its device memory, which it writes at its end.
        command: what it runs, for messages.
    """

    process: subprocess.Popen[str]
    log: Path
    note: Path
    command: str


class Bench:
    """The tools of a check: a device, a folder of its own, processes, and a list for its figures.

    Args:
        place: where checks run.
        name: of the check.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        small: whether to take smaller sizes.
        folder: empty at the start.
        figures: what was found so far.
        notes: further remarks.
        peaks: GiB of device memory, of each process that told.
    """

    def __init__(self, place: Place, name: str) -> None:
        self.device = place.device
        self.small = place.small
        self.folder = place.output / "work" / name
        self.folder.mkdir(parents=True)
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.peaks: list[float] = []

    def at_most(self, name: str, value: float, bound: float) -> None:
        """Record a figure with an upper bound."""
        self.figures.append(Figure(name, float(value), bound, at_most=True))

    def at_least(self, name: str, value: float, bound: float) -> None:
        """Record a figure with a lower bound."""
        self.figures.append(Figure(name, float(value), bound, at_most=False))

    def tell(self, name: str, value: float) -> None:
        """Record a figure without a bound."""
        self.figures.append(Figure(name, float(value)))

    def sslhsic(self, *arguments: object, **options: Any) -> str:
        """Run the command line as a user does; return what it prints. Options are those of `start_sslhsic`."""
        return self.finish(self.start_sslhsic(*arguments, **options))

    def start_sslhsic(
        self, *arguments: object, deterministic: bool = False, environment: dict[str, str] | None = None
    ) -> Started:
        """Start the command line in a process of its own.

        Args:
            arguments: what follows ``sslhsic``.
            deterministic: whether torch keeps to deterministic algorithms.
            environment: more variables.
        """
        kind = "deterministic" if deterministic else "plain"
        return self.start("command.py", kind, *arguments, environment=environment)

    def start(self, program: str, *arguments: object, environment: dict[str, str] | None = None) -> Started:
        """Start one of `programs/`; its first argument is a file for the device memory that it takes."""
        number = len(list(self.folder.glob("*.log")))
        log, note = (self.folder / f"{number}.{kind}" for kind in ("log", "peak"))
        note.touch()
        command = [sys.executable, str(PROGRAMS / program), str(note), *map(str, arguments)]
        variables = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | (environment or {})
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, text=True, env=variables, cwd=self.folder)
        return Started(process, log, note, " ".join([program, *map(str, arguments)]))

    def finish(self, started: Started) -> str:
        """Wait for a process; return what it printed.

        Raises:
            CheckFailed: its exit status is not 0.
        """
        status = started.process.wait()
        printed = started.log.read_text(encoding="utf-8", errors="replace")
        if status:
            raise CheckFailed(f"exit status {status} of: {started.command[:400]}\n{printed[-_TAIL:]}")
        if text := started.note.read_text(encoding="utf-8"):
            self.peaks.append(float(json.loads(text)))
        return printed
