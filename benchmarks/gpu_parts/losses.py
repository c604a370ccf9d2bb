"""The loss beside lightly's NT-Xent, forward and backward: time, memory, and the batch at which NT-Xent no longer fits.

Two views of bf16 outputs, as a network hands them over; ours computes in float32 inside. NT-Xent takes them as they
are, or in float32, like ours.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.gpu_parts.clock import forget, peak_gib, seconds_of
from benchmarks.gpu_parts.report import NOT_RUN, Figure, Report, Row
from benchmarks.gpu_parts.settings import Settings
from benchmarks.loss import exponent
from sslhsic_transfer.hsic import SSLHSICLoss

_DIM = 256
_LONGEST = 5.0  # seconds: longer steps are not waited for
_MOST_EXPONENT = 1.02
_MOST_EXACT = 1 << 15  # 65,536 rows of two views
_UNIT = "ms"

_Loss = Callable[[Tensor, Tensor], Tensor]


def run(report: Report, settings: Settings) -> None:
    """Measure ours at all sizes by random features, exactly as far as that pays, then the rivals as far as they go."""
    sizes = [2**power for power in (range(6, 10) if settings.quick else range(12, 19))]
    forms = {form: SSLHSICLoss(estimator=form).to(settings.place) for form in ("features", "exact")}

    def ours(first: Tensor, second: Tensor) -> Tensor:
        return forms["features"]([first, second])[0]

    def exact(first: Tensor, second: Tensor) -> Tensor:
        return forms["exact"]([first, second])[0]

    for size in sizes:
        report.measure(_title("ours", size), _UNIT, lambda size=size: _cost(ours, size, settings))
    for size in (size for size in sizes if size <= _MOST_EXACT):
        title = _title("ours, exact", size)
        report.measure(title, _UNIT, lambda size=size: _cost(exact, size, settings))
        report.ratio(f"exact / features, time at B = {size:,}", title, _title("ours", size))
    _exponent(report, sizes)
    most = 2 * sizes[-1]
    found = report.measure(_title("ours", most), _UNIT, lambda: _cost(ours, most, settings))
    if not settings.quick:
        report.judge("views of ours that fit", 2.0 * most if found else None, at_least=1e6, note="see above")
    try:
        from lightly.loss import NTXentLoss
    except ImportError as error:
        report.add(Row("NT-Xent", _UNIT, None, state=NOT_RUN, note=str(error)))
        return
    criterion_of_rival = NTXentLoss().to(settings.place)
    rivals: dict[str, _Loss] = {
        "NT-Xent in float32": lambda first, second: criterion_of_rival(first.float(), second.float()),
        "NT-Xent in bf16": criterion_of_rival,
    }
    for name, rival in rivals.items():
        _as_far_as_it_goes(report, settings, name, rival, sizes)
        last = max((size for size in sizes if report.value(_title(name, size))), default=None)
        if last is not None:
            report.ratio(f"{name} / ours, time at B = {last:,}", _title(name, last), _title("ours", last))


def _title(name: str, size: int) -> str:
    return f"{name}, B = {size:,}"


def _cost(loss: _Loss, size: int, settings: Settings) -> Figure:
    """Measure milliseconds, and the peak of memory, the views included."""
    place = settings.place
    forget(place)
    torch.manual_seed(0)
    views = [torch.randn(size, _DIM, device=place).bfloat16().requires_grad_() for _ in range(2)]

    def once() -> None:
        loss(views[0], views[1]).backward()
        for view in views:
            view.grad = None

    milliseconds = 1000 * seconds_of(once, place, budget=0.5, most=30)
    return Figure(milliseconds, peak_gib(place))


def _exponent(report: Report, sizes: Sequence[int]) -> None:
    times = {size: report.value(_title("ours", size)) for size in sizes}
    rows = [{"size": size, "seconds": time} for size, time in times.items() if time is not None]
    slope = exponent(rows) if len(rows) == len(sizes) else None
    report.judge("exponent of ours in B, the largest four", slope, at_most=_MOST_EXPONENT, note="a size is missing")


def _as_far_as_it_goes(report: Report, settings: Settings, name: str, loss: _Loss, sizes: Sequence[int]) -> None:
    """Measure from size to size, until it no longer fits or would take too long."""
    for size in [*sizes, 2 * sizes[-1]]:
        before = report.value(_title(name, size // 2))
        if before is not None and 4 * before / 1000 > _LONGEST:
            report.add(
                Row(_title(name, size), _UNIT, None, state=NOT_RUN, note=f"about {4 * before / 1000:.0f} s a step")
            )
            return
        try:
            found = _cost(loss, size, settings)
        except torch.OutOfMemoryError as error:
            wanted = str(error).partition("Tried to allocate ")[2].partition(". ")[0]
            report.add(Row(f"{name} no longer fits at B", "images", float(size), details={"wanted more": wanted}))
            forget(settings.place)
            return
        report.add(Row(_title(name, size), _UNIT, found.value, details=found.details))
