"""Pretraining: the networks' bare step, the input alone, the engine from its cache and from JPEGs, lightly's BYOL.

The bare step's TFLOP/s count multiplications and additions of convolutions and matrix products alone, and are compared
with a large bf16 product of the same run. An engine's speed is its own log's over whole rounds of its readers, after
what they have read ahead is used up. lightly's example is run as its documentation has it, which does not compile.
"""

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_parts.clock import forget, peak_gib, seconds_of, speed
from benchmarks.gpu_parts.report import Figure, Report
from benchmarks.gpu_parts.settings import Network, Settings
from benchmarks.gpu_parts.steps import bare_step, input_alone, lightly_byol, recorded_step, whole_engine
from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.recipe import Recipe

_UNIT = "images/s"
_READ_AHEAD = 2  # rounds of batches that a DataLoader's workers read ahead
_LARGE = 128  # side of views from which a few steps are enough to time


def run(report: Report, settings: Settings) -> None:
    """Measure one network after the other."""
    warnings.filterwarnings("ignore", module="lightly")
    peak = report.measure("bf16 product", "TFLOP/s", lambda: _product(settings) / 1e12)
    for name, network in settings.chosen_networks.items():
        _Contest(report, settings, name, network, peak).run()
        torch.compiler.reset()  # else another picture size would compile kernels for any size


def _product(settings: Settings) -> float:
    """Measure operations per second of a large product."""
    side = 512 if settings.quick else 8192
    first, second = (torch.randn(side, side, device=settings.place, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: first @ second, settings.place)


class _Contest:
    """The contenders of one network."""

    def __init__(self, report: Report, settings: Settings, name: str, network: Network, peak: float | None) -> None:
        self.report, self.settings, self.name, self.network, self.peak = report, settings, name, network, peak
        self.data = settings.folder(network.pictures)
        self.window = settings.window
        self.windows = 1 if settings.quick else 2 if network.side > _LARGE else 4
        self.operations = 0  # floating-point operations of a bare step; counted once

    def run(self) -> None:
        """Measure the contenders; each ratio as soon as it can be had, since time may run out."""
        report, compiled = self.report, self.settings.compiled
        self._measure("bare step", lambda: self._bare(self.recipe(compiled=False)))
        unless = "" if compiled else "torch.compile is measured on CUDA, or with --compile"
        self._measure("bare step, compiled", lambda: self._bare(self.recipe(compiled=True)), unless=unless)
        bare = self._title("bare step, compiled" if compiled else "bare step")
        without = "" if self.settings.device == "cuda" else "there are CUDA graphs on CUDA only"
        self._measure(
            "bare step, CUDA graph", lambda: self._bare(self.recipe(compiled=False), graph=True), unless=without
        )
        cached = self._measure("engine, from its cache", lambda: self._engine("device", warm_up=1))
        report.ratio(self._title("cache / bare step"), cached, bare, at_least=0.9)
        if not without:
            report.ratio(self._title("cache / CUDA graph"), cached, self._title("bare step, CUDA graph"), at_least=0.9)
        reading = f"{self.network.side} px: input alone, from JPEGs"
        if reading not in report.rows:  # once for each size: it is the same for all networks
            report.measure(reading, _UNIT, self._input)
        read = self._measure("engine, from JPEGs", lambda: self._engine("none", warm_up=_READ_AHEAD + 1))
        report.ratio(self._title("JPEGs / slower of input and bare step"), read, [reading, bare], at_least=0.9)
        rival = self._measure("lightly's BYOL, from JPEGs", self._lightly, peer=True)
        report.ratio(self._title("JPEGs / lightly"), read, rival, at_least=1.0)

    def _title(self, what: str) -> str:
        return f"{self.name}: {what}"

    def _measure(self, what: str, function: Callable[[], Figure], *, peer: bool = False, unless: str = "") -> str:
        """Measure a contender; return the name of its row."""
        forget(self.settings.place)
        self.report.measure(self._title(what), _UNIT, function, peer=peer, unless=unless)
        return self._title(what)

    def recipe(self, *, compiled: bool, cached: str = "none") -> Recipe:
        """Return the network's recipe at the size, batch and number of readers of this run."""
        network, settings = self.network, self.settings
        changes = {
            "encoder.architecture": network.architecture,
            "augmentation.size": network.side,
            "augmentation.progressive": "[]",
            "batch_size": settings.batch_size,
            "workers": settings.workers,
            "precision": "bf16",
            "channels_last": "true",
            "compile": str(compiled).lower(),
            "data.cache": cached,
        }
        return load_recipe(network.recipe, [f"{key}={value}" for key, value in changes.items()])

    def _bare(self, recipe: Recipe, *, graph: bool = False) -> Figure:
        steps, start = (recorded_step if graph else bare_step)(recipe), time.perf_counter()
        with tuned_convolutions():  # as a run does
            next(steps)
            details = {"first step, s": time.perf_counter() - start} if recipe.compile else {}
            count = 4 if self.settings.quick else 10 * self.windows
            found = speed(steps, recipe.batch_size, count, warm_up=count // 4)
        details |= peak_gib(self.settings.place)
        self.operations = self.operations or self._count_operations()
        details["TFLOP/s"] = self.operations * found / recipe.batch_size / 1e12
        if self.peak:
            details["share of bf16 product"] = details["TFLOP/s"] / self.peak
        return Figure(found, details)

    def _count_operations(self) -> int:
        steps = bare_step(self.recipe(compiled=False))
        with FlopCounterMode(display=False) as counter:
            next(steps)
        return int(counter.get_total_flops())

    def _input(self) -> float:
        recipe, rounds = self.recipe(compiled=False), _READ_AHEAD + self.windows
        steps = input_alone(recipe, self.data, rounds * self.window)
        timed = self.windows * self.window
        return speed(steps, recipe.batch_size, timed, warm_up=_READ_AHEAD * self.window)

    def _engine(self, cached: str, *, warm_up: int) -> Figure:
        recipe = self.recipe(compiled=False, cached=cached)  # as the shipped recipes are
        count = (warm_up + self.windows) * self.window
        records = whole_engine(recipe, self.data, every=self.window, count=count)[warm_up:]
        speeds = [record["images_per_second"] for record in records]
        details = {"slowest": min(speeds), "fastest": max(speeds)}
        if self.settings.device == "cuda":
            details["peak GiB"] = max(record["memory_gib"] for record in records)
        return Figure(statistics.harmonic_mean(speeds), details)

    def _lightly(self) -> Figure:
        recipe, timed = self.recipe(compiled=False), max(1, self.windows // 2) * self.window
        warm_up = _READ_AHEAD * self.window
        steps = lightly_byol(recipe, self.data, warm_up + timed)
        found = speed(steps, recipe.batch_size, timed, warm_up=warm_up)
        return Figure(found, peak_gib(self.settings.place))
