"""Features of the shipped encoders on the device, held against float64 on the CPU."""

import copy
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from sslhsic_transfer import Encoder, from_pretrained
from sslhsic_transfer.hub.zoo import ZOO
from tools.gpu_checks.check import Bench, Check, NotRun
from tools.gpu_checks.measures import bundled_pictures, least_cosine, relative, tf32

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
RELATIVE = 1e-5  # float32 without TF32, pooled and every stage
COSINE = 0.9999  # the least cosine of a picture, in reduced precision
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def outputs_of(encoder: Encoder, images: Tensor) -> dict[str, Tensor]:
    """Return the embedding and every feature map."""
    maps = {str(stage): values for stage, values in encoder.feature_maps(images).items()}
    return {"pooled": encoder(images)} | maps


def shipped(bench: Bench, name: str) -> tuple[Encoder, Tensor]:
    """Return an encoder on the CPU, and pictures as its input.

    Raises:
        NotRun: its weights did not come with the package.
    """
    weights = ZOO[name].shipped / "model.safetensors"
    if not weights.is_file():
        raise NotRun(f"the weights of {name} are not here")
    encoder = from_pretrained(name, local_files_only=True)
    transform = encoder.preprocessing.transform()
    return encoder, torch.stack([transform(path) for path in bundled_pictures(4 if bench.small else 16)])


@torch.no_grad()
def in_precision(bench: Bench, *, name: str, precision: Precision) -> None:
    """Hold every output in one precision against float64 on the CPU."""
    encoder, images = shipped(bench, name)
    expected = outputs_of(copy.deepcopy(encoder).double(), images.double())
    with tf32(precision == "tf32"), _computing(bench.device, precision):
        found = outputs_of(encoder.to(bench.device), images.to(bench.device))
    for output, values in found.items():
        if precision == "fp32":
            bench.at_most(output, relative(values, expected[output]), RELATIVE)
        else:
            bench.at_least(output, least_cosine(values, expected[output]), COSINE)


@torch.no_grad()
def compiled(bench: Bench, *, name: str) -> None:
    """Hold what torch.compile makes of an encoder against eager mode on the same device."""
    encoder, images = shipped(bench, name)
    encoder, images = encoder.to(bench.device), images.to(bench.device)
    run = torch.compile(partial(outputs_of, encoder))
    with tf32(False):
        for output, expected in outputs_of(encoder, images).items():
            bench.at_most(output, relative(run(images)[output], expected), RELATIVE)
    if bench.device == "cuda":
        with _computing("cuda", "bf16"):
            for output, expected in outputs_of(encoder, images).items():
                bench.at_least(f"bf16 {output}", least_cosine(run(images)[output], expected), COSINE)


def _computing(device: str, precision: Precision) -> torch.autocast:
    return torch.autocast(device, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST)


def _row(name: str, precision: Precision) -> Check:
    needs = ("cuda",) if precision in ("tf32", "fp16") else ()
    return Check(f"features.{name}.{precision}", partial(in_precision, name=name, precision=precision), needs)


_COMPILED: dict[str, tuple[str, ...]] = {
    "sslhsic-r18": (),
    "sslhsic-r50": ("cuda",),  # on a CPU the small one is enough: it takes a minute
}
CHECKS = tuple(
    row
    for name in ("sslhsic-r18", "sslhsic-r50")
    for row in (
        *(_row(name, precision) for precision in ("fp32", "tf32", "bf16", "fp16")),
        Check(f"features.{name}.compile", partial(compiled, name=name), (*_COMPILED[name], "compiler"), seconds=150),
    )
)
