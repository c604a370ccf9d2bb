"""ONNX: encoders as files that run without torch; `export` needs torch, `OnnxEncoder` does not."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.onnx.exporting import export as export
    from sslhsic_transfer.adapters.onnx.quantization import Quantization as Quantization
    from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder as OnnxEncoder
    from sslhsic_transfer.adapters.onnx.triton import triton_repository as triton_repository
    from sslhsic_transfer.adapters.onnx.verification import verify as verify

# Lazy, because files are run where torch is not installed.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "OnnxEncoder": f"{__name__}.runtime.encoder",
        "Quantization": f"{__name__}.quantization",
        "export": f"{__name__}.exporting",
        "triton_repository": f"{__name__}.triton",
        "verify": f"{__name__}.verification",
    },
)
