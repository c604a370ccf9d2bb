"""Checks in worker processes that share the device: one that hangs or crashes fails alone."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from tools.gpu_checks.check import Bench, Check, CheckFailed, NotRun, Place, Result
from tools.gpu_checks.needs import NEEDS

SLOWER = 8  # factor of the time limits on a CPU, which may be busy
_START = 300  # seconds that a worker may take to begin
_TAIL = 3000  # characters of a traceback that a result keeps
_SPAWN = multiprocessing.get_context("spawn")


def measure(check: Check, place: Place) -> Result:
    """Run a check in this process."""
    bench = Bench(place, check.name)
    result = Result(check.name, "passed", bench.figures, bench.notes)
    _begin_counting()
    started = time.perf_counter()
    try:
        if missing := [reason for need in check.needs if (reason := NEEDS[need](place.device))]:
            raise NotRun("; ".join(missing))
        check.function(bench)
        if broken := [str(figure) for figure in bench.figures if not figure.holds]:
            raise CheckFailed("; ".join(broken))
        if all(figure.bound is None for figure in bench.figures):
            raise CheckFailed("it held nothing against a bound")
    except NotRun as reason:
        result.outcome, result.reason = "not run", str(reason)
    except CheckFailed as failure:
        result.outcome, result.reason = "failed", str(failure)
    except Exception as error:  # any error of the library fails this check and is reported
        result.outcome, result.reason = "failed", f"{type(error).__name__}: {error}"
        result.traceback = traceback.format_exc()[-_TAIL:]
    result.seconds = time.perf_counter() - started
    result.peak_gib = max([*bench.peaks, *_counted()], default=None)
    if result.outcome != "failed":
        shutil.rmtree(bench.folder)  # the folder of a failed check stays for inspection
    return result


def _begin_counting() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # frees memory for the other workers
        torch.cuda.reset_peak_memory_stats()


def _counted() -> list[float]:
    torch = sys.modules.get("torch")
    return [torch.cuda.max_memory_allocated() / 2**30] if torch is not None and torch.cuda.is_initialized() else []


def _serve(connection: Connection, place: Place, log: Path) -> None:
    """Measure what the connection names, until it names nothing."""
    os.setsid()  # a process group, so that all that a check has started can be ended
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    connection.send("ready")
    while (check := connection.recv()) is not None:
        connection.send(measure(check, place))


class Worker:
    """A process that measures one check after another; it is started anew after one that did not come back.

    Args:
        number: the number of this worker.
        place: where checks run.
    """

    def __init__(self, number: int, place: Place) -> None:
        self._log = place.output / "logs" / f"worker-{number}.log"
        self._place = place
        self._process: multiprocessing.process.BaseProcess | None = None

    def run(self, check: Check) -> Result:
        """Measure a check; one that takes too long, or ends its process, has failed."""
        started = time.monotonic()
        limit = check.seconds * (SLOWER if self._place.small else 1)
        try:
            if self._process is None:
                self._start()
            self._connection.send(check)
            if self._connection.poll(limit):
                result: Result = self._connection.recv()
                return result
            reason = f"stopped after its limit of {limit:.0f} s"
        except (EOFError, OSError):
            reason = "its process ended"
        self.stop()
        seconds = time.monotonic() - started
        return Result(check.name, "failed", seconds=seconds, reason=f"{reason}; see {self._log}")

    def _start(self) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, self._place, self._log))
        self._process.start()
        theirs.close()
        if not self._connection.poll(_START):
            raise EOFError
        self._connection.recv()

    def end(self) -> None:
        """Let the process end: it has no more to do."""
        if self._process is not None:
            self._connection.send(None)
            self._process.join(_START)
        self.stop()

    def stop(self) -> None:
        """Kill the process, and whatever its check has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.kill()  # in case the worker has no group of its own yet
        process.join()
        self._connection.close()


def run_checks(checks: Sequence[Check], place: Place, budget: float, done: Callable[[Result], None]) -> None:
    """Run checks, those that may take long first.

    Args:
        checks: what to run.
        place: where, and how many at a time.
        budget: seconds after which no more are begun; those left are not run.
        done: told of each result, from several threads.
    """
    waiting = deque(sorted(checks, key=lambda check: -check.seconds))
    end = time.monotonic() + budget
    workers = [Worker(number, place) for number in range(min(place.jobs, len(checks)))]
    stopping = threading.Event()

    def work(worker: Worker) -> None:
        while not stopping.is_set():
            try:
                check = waiting.popleft()
            except IndexError:
                worker.end()
                return
            if time.monotonic() > end:
                done(Result(check.name, "not run", reason=f"out of time: not begun within {budget:.0f} s"))
                continue
            result = worker.run(check)
            if not stopping.is_set():  # otherwise it was ended from outside
                done(result)

    pool = ThreadPoolExecutor(max(1, len(workers)))
    try:
        for finished in [pool.submit(work, worker) for worker in workers]:
            finished.result()
    finally:
        stopping.set()
        for worker in workers:
            worker.stop()
        pool.shutdown()
