"""Measure the library on one GPU: pretraining, embedding, the loss and probes, each beside its bound and its rivals.

python benchmarks/gpu.py [--only pretrain embed loss probes] [--pictures DIR] [--device cuda|cpu] [--quick]
                         [--budget SECONDS] [--workers N] [--networks NAME …] [--output DIR] [--work DIR]

Every figure is of this one run, so that ratios compare like with like. Pictures are JPEGs made here from those of
--pictures (by default the bundled ones). A part is a process of its own, which is stopped at the end of its budget: the
whole ends in time, whatever happens to a part. Prints a table for each part, with the goal of each figure that
has one, and writes DIR/gpu.json after each part. A measurement that cannot run is a line that says why. Peers: lightly,
timm, transformers, scikit-learn, faiss. Exit status 1: something of ours has failed. --quick takes sizes for a try on a
CPU.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

# This folder holds an onnx.py, which would stand for the package of that name; an installed package goes before ours.
sys.path.pop(0)
sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.gpu_parts.pictures import make_pictures
from benchmarks.gpu_parts.report import FAILED, Report, Row, table
from benchmarks.gpu_parts.settings import NETWORKS, SIZES, Settings
from sslhsic_transfer._files import write_json
from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer.sample import sign_digits

# Part -> (its module, seconds that it may take on a GPU: five and a half minutes together).
PARTS = {
    "pretrain": ("pretraining", 220.0),
    "embed": ("embedding", 50.0),
    "loss": ("losses", 25.0),
    "probes": ("probes", 35.0),
}
_PATIENCE = {"cuda": 1.0, "cpu": 8.0}  # factor of the parts' seconds
_GRACE = 10.0  # seconds from the end of a part's budget, after which it begins nothing, to its being stopped


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument(
        "--pictures", type=Path, default=sign_digits().root, help="a folder of pictures to make more of"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="that each part may take")
    parser.add_argument("--workers", type=int, default=max(1, usable_cpus() - 2), help="processes that read pictures")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), help="to pretrain")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="by default on CUDA only")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--work", type=Path, help="folder for pictures and compiled kernels; by default in --output")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA here: --device cpu --quick tries the script")
    return options


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        device=options.device,
        quick=options.quick,
        workers=options.workers,
        compiled=options.device == "cuda" if options.compile is None else options.compile,
        networks=tuple(options.networks),
        work=options.work or options.output / "gpu",
    )


def seconds_for(part: str, options: argparse.Namespace) -> float:
    seconds: float = options.budget or PARTS[part][1] * _PATIENCE[options.device]
    return seconds


def work(options: argparse.Namespace) -> None:
    """Run one part in the child process; its rows are written as they come."""
    settings = settings_of(options)
    report = Report(part_file(settings, options.part), settings, seconds_for(options.part, options))
    import_module(f"benchmarks.gpu_parts.{PARTS[options.part][0]}").run(report, settings)


def part_file(settings: Settings, part: str) -> Path:
    return settings.work / f"{part}.json"


def run_part(part: str, seconds: float, settings: Settings) -> dict[str, Any]:
    """Run a part in a process of its own; return what it measured, and whether it ended well."""
    path = part_file(settings, part)
    path.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--part", part]
    caches = {"TORCHINDUCTOR_CACHE_DIR": settings.work / "inductor", "TRITON_CACHE_DIR": settings.work / "triton"}
    environment = os.environ | {name: str(folder.resolve()) for name, folder in caches.items()}
    if settings.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # hides GPUs from libraries that look for one
    start, why = time.perf_counter(), ""
    with subprocess.Popen(command, env=environment, start_new_session=True) as child:
        try:
            if status := child.wait(seconds + _GRACE):
                why = f"the process ended with status {status}"
        except subprocess.TimeoutExpired:
            why = f"stopped after {seconds + _GRACE:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # the part and its readers
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
    if why:
        found["rows"].append(asdict(Row("the rest of this part", "", None, state=FAILED, note=why)))
    return found | {"seconds": time.perf_counter() - start}


def main() -> None:
    options = parse()
    if options.part:
        work(options)
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that parts are stopped as well
    settings, start = settings_of(options), time.perf_counter()
    result: dict[str, Any] = {"command": " ".join(sys.argv[1:]), "pictures": {}, "parts": {}}
    for name in dict.fromkeys(size for part in options.only for size in SIZES[part]):
        result["pictures"][name] = make_pictures(
            options.pictures, settings.folder(name), settings.picture_count, settings.picture_size(name), usable_cpus()
        )
    for part in options.only:
        found = run_part(part, seconds_for(part, options), settings)
        result["facts"] = found.pop("facts", result.get("facts"))
        result["parts"][part] = found
        result["seconds"] = time.perf_counter() - start
        write_json(options.output / "gpu.json", result)
        print(f"\n{table(part, found)}", flush=True)
    print(f"\n{json.dumps(result['facts'])}\n{result['seconds']:.0f} s in all; {options.output / 'gpu.json'}")
    sys.exit(any(row["state"] == FAILED for found in result["parts"].values() for row in found["rows"]))


if __name__ == "__main__":
    main()
