"""Quantization to int8, of weights per channel and of activations by calibration on the user's pictures.

The graph gets QuantizeLinear/DequantizeLinear pairs, which ONNX Runtime, TensorRT and OpenVINO fuse into integer
kernels.
"""

import contextlib
import io
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import ConfigError

Method = Literal["minmax", "percentile", "entropy"]
METHODS: dict[Method, str] = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
_OPERATORS = ["Conv", "Add", "MaxPool", "Relu"]
# With layer normalization, the sums of blocks have values too far apart for 8 bits; most work is products with weights.
_NORMALIZED = ["Conv", "Gemm", "MatMul"]
_BATCH = 16


@dataclass(frozen=True)
class Quantization:
    """Settings of quantization to int8.

    Attributes:
        method: how the range of each activation is found. ``"minmax"``: the whole range; ``"percentile"``: without the
            most extreme values; ``"entropy"``: with the least loss of information.
        percentile: percentage of values kept, for ``"percentile"``.
        reduce_range: whether weights have 7 bits, for CPUs whose 8-bit products saturate (x86 without VNNI); None: if
            this CPU needs it.
        skip: names of convolutions that stay in float32.
    """

    method: Method = "minmax"
    percentile: float = 99.999
    reduce_range: bool | None = None
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"Unknown calibration {self.method!r}; expected one of: {', '.join(METHODS)}.")
        if not 50 < self.percentile <= 100:
            raise ConfigError(f"Got percentile={self.percentile}; expected more than 50, at most 100.")

    @property
    def narrow(self) -> bool:
        """True if weights get 7 bits."""
        return not has_wide_products() if self.reduce_range is None else self.reduce_range

    def described(self, pictures: int) -> str:
        """Describe the settings in one line, for the file's metadata."""
        kept = f" {self.percentile:g}" if self.method == "percentile" else ""
        skipped = f", {len(self.skip)} convolutions in float32" if self.skip else ""
        return (
            f"QDQ, per channel, {self.method}{kept} over {pictures} pictures, weights of {7 if self.narrow else 8} bits"
            + skipped
        )


def has_wide_products() -> bool:
    """Check if this CPU sums 8-bit products without saturating: on x86 only with VNNI, elsewhere always."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "vnni" in text


def as_int8(model: Any, images: NDArray[np.float32], settings: Quantization) -> Any:
    """Quantize a copy of a float32 graph.

    In a ResNet all but convolutions, sums and pooling stays in float32; in a ConvNeXt or Vision Transformer all but
    convolutions and products with weights.

    Args:
        model: an ``onnx.ModelProto``.
        images: (N, 3, H, W) normalized pictures to calibrate with.
        settings: the settings of quantization.

    Raises:
        ConfigError: there are no pictures, or a name to skip is not a convolution's.
        MissingDependencyError: onnxruntime is not installed.
    """
    import onnx

    quantization = optional_import("onnxruntime.quantization", extra="onnx", purpose="Quantizing")
    if not len(images):
        raise ConfigError("int8 needs pictures to calibrate with: pass calibration=FOLDER (--calibration DIR).")
    names = {node.name for node in model.graph.node if node.op_type == "Conv"}
    if unknown := [name for name in settings.skip if name not in names]:
        raise ConfigError(f"No convolutions are called {', '.join(unknown)}; there are: {', '.join(sorted(names))}.")
    normalized = any(node.op_type == "LayerNormalization" for node in model.graph.node)
    weights = {initializer.name for initializer in model.graph.initializer}
    attention = [node.name for node in model.graph.node if node.op_type == "MatMul" and weights.isdisjoint(node.input)]
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})  # it is already simplified
    told = contextlib.redirect_stdout(io.StringIO())  # the calibration prints every step
    with tempfile.TemporaryDirectory() as place, told:
        output = Path(place) / "model.onnx"
        quantization.quantize_static(
            prepared,
            output,
            _reader(quantization, model.graph.input[0].name, _fitting(model, images)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_NORMALIZED if normalized else _OPERATORS,
            per_channel=True,
            reduce_range=settings.narrow,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[*settings.skip, *attention],
            calibrate_method=getattr(quantization.CalibrationMethod, METHODS[settings.method]),
            extra_options={
                "CalibTensorRangeSymmetric": False,
                "CalibPercentile": settings.percentile,
                "CalibStridedMinMax": 1,  # one batch at a time, as the activations of all pictures would not fit
            },
        )
        return onnx.load(output)


def _fitting(model: Any, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Split pictures into batches that the graph takes; the last one of a fixed size is filled up from the start."""
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    size = fixed or _BATCH
    if fixed and len(images) % fixed:
        images = images[np.arange(-(-len(images) // fixed) * fixed) % len(images)]
    return [images[start : start + size] for start in range(0, len(images), size)]


def _reader(quantization: Any, name: str, batches: Sequence[NDArray[np.float32]]) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        """Reader of a range of batches."""

        def __init__(self) -> None:
            self.rest: Iterator[NDArray[np.float32]] = iter(batches)

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rest = iter(batches[start_index:end_index])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.rest, None)
            return None if batch is None else {name: batch}

    return Reader()
