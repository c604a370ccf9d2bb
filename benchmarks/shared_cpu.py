"""Seconds a step of the demo takes beside busy programs, by how its threads wait and how many they are.

python benchmarks/shared_cpu.py [--busy 0 2 4] [--seconds S] [--limit S] [--rounds N] [--output DIR]

Each cell is a fresh process, since OpenMP reads its settings when torch is loaded, with as many programs beside it as
the column says, each in an endless loop at normal priority and in a session of its own, as from other terminals: Linux
shares processors between sessions first. It trains by the demo's recipe on the bundled pictures, readers included. The
first step is not counted; a cell that is slower than the limit gives what it has. Needs a machine that is otherwise
idle: what was idle at the start is printed first, and stands in the record. Writes shared-cpu.json. Five minutes on
two cores.
"""

import argparse
import contextlib
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import reports
from sslhsic_transfer._files import write_json
from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer._threads import idle_processors, share_processors
from sslhsic_transfer.results import stamp

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_OURS = "as runs start now"
CONTENDERS: dict[str, dict[str, str]] = {
    "as torch starts": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
    _OURS: {},
}
_WARM_UP = 1


def train(steps: int, *, share: bool) -> None:
    """Print the seconds of each step; run in a process of its own."""
    if share:
        share_processors()
    print("set", flush=True)
    import torch

    from sslhsic_transfer.data.sources import find_data
    from sslhsic_transfer.pretrain import load_recipe
    from sslhsic_transfer.pretrain.loading.damage import DamageRecord
    from sslhsic_transfer.pretrain.loading.loader import StepLoader
    from sslhsic_transfer.pretrain.trainer import Trainer
    from sslhsic_transfer.sample import sign_digits
    from sslhsic_transfer.training.accelerator import build_accelerator

    recipe = load_recipe("demo", ["trackers=[]"])
    pictures = find_data(sign_digits().root).train
    with tempfile.TemporaryDirectory() as folder:
        damage = DamageRecord(Path(folder) / "damaged.jsonl", len(pictures), 1.0)
        trainer = Trainer(recipe, build_accelerator(recipe.precision, [], Path(folder)), pictures=len(pictures))
        print(torch.get_num_threads(), flush=True)
        start = time.perf_counter()
        for micro_batches in StepLoader(pictures, recipe, start=0, total_steps=steps, damage=damage):
            trainer.train_step(micro_batches)
            print(time.perf_counter() - start, flush=True)
            start = time.perf_counter()


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Programs in an endless loop; gives what sends a signal to all."""
    command = [sys.executable, "-c", "while True: pass"]
    programs = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]

    def send(number: signal.Signals) -> None:
        for program in programs:
            program.send_signal(number)

    try:
        yield send
    finally:
        send(signal.SIGKILL)
        for program in programs:
            program.wait()


def measure(name: str, busy: int, seconds: float, limit: float) -> tuple[int, list[float]]:
    """Threads, and seconds of each step after the first; infinite where no step came within the limit.

    The busy programs pause while torch is loaded, which is not what is measured.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _SETTINGS} | CONTENDERS[name]
    command = [sys.executable, __file__, "--child", *(["--share"] if name == _OURS else [])]
    times: list[float] = []
    with (
        busy_programs(busy) as send,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        send(signal.SIGSTOP)
        threads = int(child.stdout.readline())
        send(signal.SIGCONT)
        clock = threading.Timer(limit, os.killpg, (child.pid, signal.SIGKILL))
        clock.start()
        start = time.perf_counter()
        for line in child.stdout:
            times.append(float(line))
            if len(times) > _WARM_UP + 1 and time.perf_counter() - start > seconds:
                break
        clock.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its readers, too
    return threads, times[_WARM_UP:] or times or [math.inf]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", nargs="*", type=int, default=[0, 2, 4], help="busy programs; the first is the quiet")
    parser.add_argument("--seconds", type=float, default=8, help="of each cell, at least two counted steps")
    parser.add_argument("--limit", type=float, default=40, help="seconds after which a cell is given up")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--share", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(100, share=options.share)
        return
    idle = idle_processors(Path("/proc/stat"), 2)
    print(f"{idle:.1f} of {usable_cpus()} processors idle at the start", file=sys.stderr)
    cells: dict[tuple[str, int], list[float]] = {}
    threads: dict[tuple[str, int], int] = {}
    for _ in range(options.rounds):
        for busy in options.busy:
            for name in CONTENDERS:
                threads[name, busy], times = measure(name, busy, options.seconds, options.limit)
                cells.setdefault((name, busy), []).extend(times)
                print(f"{name}, {busy} busy: {', '.join(f'{value:.2f}' for value in times)}", file=sys.stderr)
    quiet = statistics.median(cells[next(iter(CONTENDERS)), options.busy[0]])
    records = [
        {
            "contender": name,
            "busy": busy,
            "threads": threads[name, busy],
            "seconds": times,
            "median": finite(statistics.median(times)),
            "slowest": finite(max(times)),
            "times quiet": finite(statistics.median(times) / quiet),
        }
        for (name, busy), times in cells.items()
    ]
    record = {"measured": stamp(), "processors idle at the start": idle, "cells": records}
    write_json(options.output / "shared-cpu.json", record)
    print(reports.shared_cpu(record))


def finite(value: float) -> float | None:
    """Return a number of a record; None for a cell that was given up."""
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()
