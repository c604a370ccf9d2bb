"""Pretraining by recipe on the command line: it learns, goes on after SIGKILL, and waits for no device."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.recipe_file import load_recipe
from sslhsic_transfer.training.checkpoint import list_checkpoints
from tools.gpu_checks.check import Bench, Check, CheckFailed
from tools.gpu_checks.data import digits
from tools.gpu_checks.measures import relative

# The demo's recipe on all bundled pictures; on a CPU, a quarter of them and half of the epochs.
_LARGE = ("trackers=[]", "monitor.log_every=3", "workers=3", "monitor.evaluate_every=4")
_SMALL = (
    *("trackers=[]", "monitor.log_every=3", "workers=1", "monitor.evaluate_every=4", "monitor.knn_k=5"),
    *("batch_size=32", "optimizer.learning_rate=1e-3", "optimizer.warmup_epochs=1", "epochs=8"),
)
_SHORT = ("epochs=3", "optimizer.warmup_epochs=1", "monitor.evaluate_every=1")  # for checks that need no learning
# Difference of a probe between two equal runs. Differences of weights are only reported: atomic sums come in any order,
# and AdamW makes equally large steps from gradients of any size.
NEAR = 0.05


def learning(bench: Bench, *, settings: Sequence[str]) -> None:
    """Pretrain: the loss falls, and probes of the encoder rise."""
    data, overrides = _pictures(bench), _overrides(bench, settings)
    bench.sslhsic("pretrain", "demo", *overrides, "--data", data, "--output", bench.folder / "run")
    records = _metrics(bench.folder / "run")
    losses = [record["loss"] for record in records if "loss" in record]
    third = max(1, len(losses) // 3)
    first, last = (sum(part) / third for part in (losses[:third], losses[-third:]))
    bench.at_most("loss, last third less first", last - first, 0.0)
    probe = "linear" if bench.small else "knn"  # neighbors tell few pictures apart badly
    measured = [record for record in records if "knn" in record]
    gain = measured[-1][probe] - _untrained(bench, data, overrides)[probe]
    bench.at_least(f"{probe}, gain over the untrained network", gain, 0.03)
    bench.at_least("knn, rise since it was first measured", measured[-1]["knn"] - measured[0]["knn"], 0.0)
    bench.tell("knn", measured[-1]["knn"])
    bench.tell("images a second", max(record["images_per_second"] for record in records if "loss" in record))
    if bench.device == "cuda":
        bench.peaks += [max(record["memory_gib"] for record in records if "memory_gib" in record)]


def resuming(bench: Bench, *, deterministic: bool) -> None:
    """Kill a run and resume it; compare its weights with those of a run that was never stopped."""
    data, overrides = _pictures(bench), _overrides(bench, _SHORT)
    command = ("pretrain", "demo", *overrides, "--data", data, "--output")
    variables = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if deterministic else {}
    options: dict[str, Any] = {"deterministic": deterministic, "environment": variables}
    whole = bench.start_sslhsic(*command, bench.folder / "whole", **options)
    if bench.small:  # run side by side, they would share two processors
        bench.finish(whole)
    stopped = bench.start_sslhsic(*command, bench.folder / "stopped", **options)
    _kill_after_a_checkpoint(stopped.process, bench.folder / "stopped")
    resumed = bench.sslhsic(*command, bench.folder / "stopped", "--resume", **options)
    printed = resumed if bench.small else resumed + bench.finish(whole)
    first, second = (load_file(bench.folder / run / "model/model.safetensors") for run in ("stopped", "whole"))
    equal = all(torch.equal(first[name], second[name]) for name in second)
    flat = [torch.cat([state[name].double().flatten() for name in second]) for state in (first, second)]
    bench.tell("relative difference of weights", relative(*flat))
    probes = [_knn(_metrics(bench.folder / run)) for run in ("stopped", "whole")]
    bench.at_most("k-NN, difference", abs(probes[0] - probes[1]), NEAR)
    nowhere = sorted(set(re.findall(r"(\S+) does not have a deterministic", printed)))
    bench.notes.extend(f"no deterministic algorithm: {name}" for name in nowhere)
    if bench.small or (deterministic and not nowhere):
        bench.at_least("equal to the last bit", equal, 1)
    else:
        bench.tell("equal to the last bit", equal)


def synchronizing(bench: Bench, *, settings: Sequence[str]) -> None:
    """Count the calls that make the host wait for the device between logged steps."""
    noted = bench.folder / "places.json"
    overrides = _overrides(bench, [*settings, "epochs=1", "optimizer.warmup_epochs=0", "monitor.log_every=1000"])
    run = ("demo", *overrides, "--data", _pictures(bench), "--output", bench.folder / "run")
    bench.finish(bench.start("counting_syncs.py", noted, "pretrain", *run))
    found = json.loads(noted.read_text(encoding="utf-8"))
    bench.notes.extend(f"{count} × {place}" for place, count in found["places"].items())
    bench.at_least("steps watched", found["steps"], 4)
    bench.at_least("synchronizations seen of a call that waits", found["control"], 1)
    bench.at_most("synchronizations a step of training", sum(found["places"].values()) / found["steps"], 0)


def _pictures(bench: Bench) -> Path:
    return digits(bench, classes=tuple("0123456789"), train=32)


def _overrides(bench: Bench, settings: Sequence[str]) -> list[str]:
    return [*(_SMALL if bench.small else _LARGE), *settings]


def _metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _knn(records: Sequence[dict[str, float]]) -> float:
    return [record["knn"] for record in records if "knn" in record][-1]


def _untrained(bench: Bench, data: Path, overrides: Sequence[str]) -> dict[str, float]:
    recipe = load_recipe("demo", overrides)
    torch.manual_seed(mix_seed(recipe.seed))
    encoder = Encoder(recipe.encoder, recipe.encoder_preprocessing).to(bench.device)
    return OnlineEvaluation(find_data(data), recipe.monitor)(encoder)


def _kill_after_a_checkpoint(process: subprocess.Popen[str], run: Path) -> None:
    while not list_checkpoints(run / "checkpoints"):
        if process.poll() is not None:
            raise CheckFailed(f"the run ended, with status {process.returncode}, before it had a checkpoint")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (run / "model").exists():
        raise CheckFailed("the run ended before it was killed")


def _learning(name: str, *settings: str, needs: tuple[str, ...] = (), seconds: float = 120) -> Check:
    needs = ("accelerate", *needs)
    return Check(f"pretraining.{name}", partial(learning, settings=settings), needs, seconds)


def _synchronizing(cache: str) -> Check:
    settings = () if cache == "none" else (f"data.cache={cache}",)
    needs = ("accelerate", "cuda")
    return Check(f"pretraining.no-waiting.cache-{cache}", partial(synchronizing, settings=settings), needs, 90)


CHECKS = (
    _learning("bf16", "precision=bf16"),
    _learning("fp16", "precision=fp16", needs=("cuda",)),  # the library refuses it on a CPU
    # On a CPU it compiles for minutes: features.sslhsic-r18.compile has to do.
    _learning("compile", "precision=bf16", "compile=true", needs=("cuda", "compiler"), seconds=180),
    _learning("cache-ram", "data.cache=ram"),
    _learning("cache-device", "data.cache=device"),
    Check("pretraining.resume", partial(resuming, deterministic=False), ("accelerate",), 150),
    # On a CPU all algorithms are deterministic, and the check above asks for the last bit.
    Check("pretraining.resume-deterministic", partial(resuming, deterministic=True), ("accelerate", "cuda"), 150),
    _synchronizing("none"),
    _synchronizing("device"),
)
