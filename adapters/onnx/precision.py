"""Conversion to float16: weights and arithmetic in half precision, inputs and outputs in float32."""

from typing import Any

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import ExportError

_LARGEST_HALF = 65504.0


def as_float16(model: Any) -> Any:
    """Convert a float32 graph to float16.

    Means stay in float32, as float16 sums of large maps would overflow; so does Range, which has no float16 version.

    Args:
        model: an ``onnx.ModelProto``.

    Raises:
        ExportError: a weight is too large for float16.
        MissingDependencyError: onnxruntime is not installed.
    """
    from onnx import numpy_helper

    float16 = optional_import("onnxruntime.transformers.float16", extra="onnx", purpose="Converting to float16")
    onnx_model = optional_import("onnxruntime.transformers.onnx_model", extra="onnx", purpose="Converting to float16")
    for initializer in model.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype.kind == "f" and abs(values).max(initial=0) > _LARGEST_HALF:
            raise ExportError(
                f"{initializer.name} holds {abs(values).max():.3g}, beyond float16's {_LARGEST_HALF:.0f}: use fp32."
            )
    half = float16.convert_float_to_float16(model, keep_io_types=True, op_block_list=["ReduceMean", "Range"])
    onnx_model.OnnxModel(half).topological_sort()  # the conversion appends its casts of the input at the end
    return half
