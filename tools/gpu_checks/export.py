"""ONNX files of an encoder that lies on the device, and what runs them there."""

from pathlib import Path

import numpy as np
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.adapters.onnx import OnnxEncoder, export
from tools.gpu_checks.check import Bench, Check, CheckFailed
from tools.gpu_checks.data import untrained_model
from tools.gpu_checks.measures import relative

_ONNX = ("onnx", "onnxscript", "onnxruntime")
_OUTPUTS = ("pooled", "c5")
RELATIVE = 1e-4  # the library's own bound for float32 files
ON_CUDA = 5e-3  # ONNX Runtime convolves in TF32 on a GPU


def exported(bench: Bench) -> Path:
    """Export an encoder that lies on the device, which the library itself verifies against the CPU."""
    encoder = from_pretrained(untrained_model(bench), device=bench.device)
    report = export(encoder, bench.folder / "model.onnx", outputs=_OUTPUTS)
    if encoder.conv1.weight.device.type != bench.device:
        raise CheckFailed(f"the encoder was moved from {bench.device} to {encoder.conv1.weight.device}")
    for check in report.verification.checks:
        if check.bound is not None:
            (bench.at_most if check.at_most else bench.at_least)(check.name, check.value, check.bound)
    return report.path


def exporting(bench: Bench) -> None:
    """Run the file by ONNX Runtime on the CPU, beside the encoder on the device, in float32."""
    _compare(bench, exported(bench), ["cpu"], RELATIVE)


def on_cuda(bench: Bench) -> None:
    """Run the file by ONNX Runtime's CUDA provider."""
    _compare(bench, exported(bench), ["cuda"], ON_CUDA)


def _compare(bench: Bench, path: Path, providers: list[str], bound: float) -> None:
    runtime = OnnxEncoder.from_pretrained(path, providers=providers)
    if runtime.providers.used[0] != providers[0]:
        raise CheckFailed(str(runtime.providers))
    encoder = from_pretrained(bench.folder / "model")
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3, 96, 64), dtype=np.float32))
    with torch.inference_mode():
        expected = {"pooled": encoder(images), "c5": encoder.feature_maps(images, ("c5",))["c5"]}
    for name, values in runtime.run(images.numpy(), list(_OUTPUTS)).items():
        bench.at_most(f"{name} by {providers[0]}", relative(torch.from_numpy(values), expected[name]), bound)


CHECKS = (
    Check("export.onnx", exporting, _ONNX, 90),
    Check("export.onnx-on-cuda", on_cuda, (*_ONNX, "onnxruntime-gpu"), 90),
)
