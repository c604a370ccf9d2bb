"""Many damaged inputs read in a process of their own, where none may end it, take long, or take much memory."""

import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sslhsic_transfer.errors import SSLHSICError
from tests.mutations import damaged

_LIMIT = 60  # seconds that one input may take
_LONGEST = 3000  # characters of a message


@dataclass(frozen=True)
class Form:
    """Numbers of inputs to try.

    Attributes:
        seed: the seed of the inputs; None: of the clock.
        times: as many inputs as in the fast form.
    """

    seed: int | None
    times: int

    def inputs(
        self, samples: Sequence[bytes], each: int, change: Callable[[bytes, Random], bytes] = damaged
    ) -> "Inputs":
        """Make damaged copies of samples, ``each`` of every one in the fast form."""
        return Inputs(samples, each * self.times, time.time_ns() if self.seed is None else self.seed, change)


# The fast one tries the same at every run.
_LONG = (pytest.mark.slow, pytest.mark.timeout(3000))
FORMS = pytest.mark.parametrize(
    "form", [pytest.param(Form(0, 1), id="fast"), pytest.param(Form(None, 25), id="long", marks=_LONG)]
)


@dataclass(frozen=True)
class Inputs:
    """Damaged copies of samples; the same for the same seed.

    Attributes:
        samples: what is whole.
        each: how many copies of every sample.
        seed: of the damage.
        change: does it.
    """

    samples: Sequence[bytes]
    each: int
    seed: int
    change: Callable[[bytes, Random], bytes] = damaged

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yield each input's origin and its bytes."""
        for number, sample in enumerate(self.samples):
            for copy in range(self.each):
                content = self.change(sample, Random(f"{self.seed} {number} {copy}"))
                yield f"copy {copy} of sample {number} by the seed {self.seed}", content


def read_all(
    work: Callable[[Path], Any],
    inputs: Inputs,
    path: Path,
    *,
    most: int,
    file: str = "",
    method: str = "fork",
) -> dict[str, int]:
    """Write one input after the other to a file and read it, all in one process of its own.

    Args:
        work: reads what lies at the path, and asserts that what comes of it is right.
        inputs: what is written.
        path: the file, or a folder that holds ``file``.
        most: MiB by which the process may grow, above what it takes when it starts.
        file: where in the folder.
        method: how the process is started, as of `tests.memory.peak_of`.

    Returns:
        How many were read, under "read", and how many gave an error of each class.

    Raises:
        AssertionError: one ended the process by a signal, gave an error that is none of ours, one that says nothing,
            or a wrong result, or took too much time or memory; the message tells how to make it again.
    """
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, inputs, path, file))
    process.start()
    sender.close()
    counts: dict[str, int] = {}
    origin = "nothing yet"
    try:
        while True:
            assert receiver.poll(_LIMIT if counts else 3 * _LIMIT), f"{origin}: took longer than {_LIMIT} s"
            kind, *told = receiver.recv()
            if kind == "end":
                break
            if kind == "begins":
                (origin,) = told
                continue
            outcome, grown = told
            assert kind == "sound", f"{origin}: {outcome}"
            assert grown <= most, f"{origin}: {outcome} after {grown} MiB more than at the start, {most} at most"
            counts[outcome] = counts.get(outcome, 0) + 1
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        raise AssertionError(f"{origin}: ended the process by {ended}") from None
    finally:
        process.kill()
        process.join()
    return counts


def _child(sender: Any, work: Callable[[Path], Any], inputs: Inputs, path: Path, file: str) -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # those of the parent are not there
    started = _peak()
    for origin, content in inputs:
        sender.send(("begins", origin))
        (path / file if file else path).write_bytes(content)
        kind, outcome = _outcome(work, path)
        sender.send((kind, outcome, _peak() - started))
    sender.send(("end",))


def _outcome(work: Callable[[Path], Any], path: Path) -> tuple[str, str]:
    try:
        work(path)
    except SSLHSICError as error:
        message = str(error)
        if not message or len(message) > _LONGEST or "Traceback" in message:
            return "fault", f"the message of {type(error).__name__} is {message[:200]!r}, of {len(message)} characters"
        return "sound", type(error).__name__
    except BaseException as error:  # whatever it is, it is none of ours
        return "fault", f"{type(error).__name__}: {str(error)[:500]}"
    return "sound", "read"


def _peak() -> int:
    """Return the peak memory of this process in MiB; a forked one begins with its parent's pages."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
