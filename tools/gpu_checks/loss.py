"""The SSL-HSIC loss on the device: against float64, under autocast, over micro-batches and over two processes."""

import math
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, draw_features
from sslhsic_transfer.hsic.terms import Regularizer
from sslhsic_transfer.hsic.unit_vectors import unit_vectors
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from tests.references import ssl_hsic as twin
from tools.gpu_checks.check import Bench, Check, CheckFailed
from tools.gpu_checks.measures import relative

REGULARIZERS: tuple[Regularizer, ...] = ("biased", "debiased")
# Relative. The Laplace kernel's frequencies have no mean: angles of thousands of radians keep fewer digits in float32.
BOUNDS = {"laplace": 1e-2}
BOUND = 1e-4
_ROUNDING = {torch.bfloat16: 2**-8, torch.float16: 2**-11}  # relative rounding error of a number
_SCALE = 2.0**14  # factor of the loss, before its gradient is rounded to float16
_FEATURES = 512
# Options of each form of the estimator, and images for it where the CPU computes the truth in float64.
FORMS: dict[str, dict[str, Any]] = {
    "exact": {"estimator": "exact"},
    "features": {"estimator": "features"},
    "paper's features": {"estimator": "features", "low_noise": False},
}
_IMAGES = {"exact": 1024, "features": 8192, "paper's features": 8192}


def _views(images: int, views: int, dim: int) -> Tensor:
    """Draw (views, images, dim) points in float64; views of an image are alike."""
    generator = torch.Generator().manual_seed(1)
    centers = torch.randn(images, dim, generator=generator, dtype=torch.float64)
    return centers + 0.7 * torch.randn(views, images, dim, generator=generator, dtype=torch.float64)


def _loss_and_gradient(points: Tensor, scale: float = 1.0, **options: Any) -> tuple[Tensor, Tensor]:
    """Return the loss of (views, images, dim) points and its gradient; features come from the CPU by a fixed seed."""
    points = points.detach().requires_grad_()
    criterion = SSLHSICLoss(num_features=_FEATURES, generator=torch.Generator().manual_seed(0), **options)
    loss, _ = criterion.to(points.device)(list(points))
    (loss * scale).backward()
    assert points.grad is not None
    return loss.detach(), points.grad.double() / scale


def _by_the_twin(points: Tensor, kernel: str, regularizer: str, *, exact: bool) -> float:
    """Return the loss by full kernel matrices in float64: exact ones, or those of the paper's features of that seed."""
    generator = torch.Generator().manual_seed(0)
    views, images, dim = points.shape
    rows = unit_vectors(points.transpose(0, 1)).flatten(0, 1)
    if exact:
        first = second = KERNELS[kernel].matrix(rows).numpy()
    else:
        draws = [draw_features(KERNELS[kernel], dim, _FEATURES, generator=generator) for _ in range(2)]
        first, second = (features @ features.T for features in (draw(rows).numpy() for draw in draws))
    unbiased = regularizer == "debiased"
    zz = twin.hsic_zz_unbiased(first, second, images, views) if unbiased else twin.hsic_zz(first, second)
    return -twin.hsic_zy(first, images, views) + 3.0 * math.sqrt(max(zz, 1e-12))


def against_float64(bench: Bench, *, kernel: str) -> None:
    """Hold float32 on the device against the twin in value, and against float64 on the CPU in value and gradient."""
    bound = BOUNDS.get(kernel, BOUND)
    few = _views(7, 4, 16)
    for form, regularizer in product(FORMS, REGULARIZERS):
        many = _views(256 if bench.small else _IMAGES[form], 4, 128)
        options: dict[str, Any] = {"kernel": kernel, "regularizer": regularizer} | FORMS[form]
        if form != "features":  # which have no matrices
            expected = _by_the_twin(few, kernel, regularizer, exact=form == "exact")
            value, _ = _loss_and_gradient(few.to(bench.device, torch.float32), **options)
            error = abs(value.item() - expected) / abs(expected)
            bench.at_most(f"{form}, {regularizer}: value, twin", error, bound)
        truth = _loss_and_gradient(many, **options)
        found = _loss_and_gradient(many.to(bench.device, torch.float32), **options)
        for what, one, other in zip(("value", "gradient"), found, truth, strict=True):
            bench.at_most(f"{form}, {regularizer}: {what}", relative(one, other), bound)


def under_autocast(bench: Bench, *, dtype: torch.dtype) -> None:
    """Hold the loss of rounded embeddings under autocast against that of the same numbers in float32."""
    rounded = _views(512, 4, 128).to(bench.device, dtype)
    for kernel, form, regularizer in product(KERNELS, FORMS, REGULARIZERS):
        options: dict[str, Any] = {"kernel": kernel, "regularizer": regularizer, "scale": _SCALE} | FORMS[form]
        expected = _loss_and_gradient(rounded.float(), **options)
        with torch.autocast(bench.device, dtype):
            found = _loss_and_gradient(rounded, **options)
        name = f"{kernel}, {form}, {regularizer}"
        bench.at_most(f"{name}: value", relative(found[0], expected[0]), 1e-6)
        bench.at_most(f"{name}: gradient", relative(found[1], expected[1]), _ROUNDING[dtype])


def accumulated(bench: Bench) -> None:
    """Hold the gradient of micro-batches against that of the whole batch, on a network without BatchNorm."""
    rows = 1024 if bench.small else 8192
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)).to(bench.device)
    views = torch.randn(2, rows, 64, device=bench.device)

    def embed(first: Tensor, second: Tensor) -> list[Tensor]:
        return [network(first), network(second)]

    for form, regularizer in product(FORMS, REGULARIZERS):
        losses, gradients = [], []
        for size in (rows, rows // 16):
            criterion = SSLHSICLoss(num_features=_FEATURES, regularizer=regularizer, **FORMS[form]).to(bench.device)
            network.zero_grad()
            micro_batches = list(zip(*(view.split(size) for view in views), strict=True))
            if size == rows:
                loss, _ = criterion(embed(*micro_batches[0]))
                loss.backward()
            else:
                loss, _ = two_pass_backward(embed, criterion, micro_batches, networks=network)
            losses.append(loss)
            gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
        bench.at_most(f"{form}, {regularizer}: value", relative(losses[1], losses[0]), BOUND)
        bench.at_most(f"{form}, {regularizer}: gradient", relative(gradients[1], gradients[0]), BOUND)


def two_processes(bench: Bench) -> None:
    """Hold loss and gradients of two processes on one device, by gloo, against those of one process."""
    outputs = {processes: bench.folder / f"{processes}.pt" for processes in (1, 2)}
    ranks = [
        bench.start(
            "two_processes.py",
            *(rank, output.with_suffix(".store"), processes, bench.device, output),
            environment={"GLOO_SOCKET_IFNAME": "lo"},  # gloo would look for a network
        )
        for processes, output in outputs.items()
        for rank in range(processes)
    ]
    for rank in ranks:
        bench.finish(rank)
    one, two = (torch.load(outputs[processes]) for processes in (1, 2))
    if (one.pop("processes"), two.pop("processes")) != (1, 2):
        raise CheckFailed("the processes did not find one another")
    for name, value in two.items():
        bench.at_most(name, relative(value, one[name]), 1e-6)


CHECKS = (
    *(Check(f"loss.{kernel}", partial(against_float64, kernel=kernel)) for kernel in KERNELS),
    Check("loss.autocast-bf16", partial(under_autocast, dtype=torch.bfloat16)),
    Check("loss.autocast-fp16", partial(under_autocast, dtype=torch.float16)),
    Check("loss.accumulated", accumulated),
    Check("loss.two-processes", two_processes, seconds=90),
)
