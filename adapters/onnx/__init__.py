"""ONNX export of encoders and dense models, to files that run without torch.

`export` and `export_dense` need torch; `OnnxEncoder` and `OnnxDenseModel` do not.
"""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.onnx.dense.exporting import export_dense as export_dense
    from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork as DenseNetwork
    from sslhsic_transfer.adapters.onnx.dense.verification import verify_dense as verify_dense
    from sslhsic_transfer.adapters.onnx.exporting import export as export
    from sslhsic_transfer.adapters.onnx.head import LinearHead as LinearHead
    from sslhsic_transfer.adapters.onnx.quantization import Quantization as Quantization
    from sslhsic_transfer.adapters.onnx.runtime.dense import OnnxDenseModel as OnnxDenseModel
    from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder as OnnxEncoder
    from sslhsic_transfer.adapters.onnx.triton import triton_repository as triton_repository
    from sslhsic_transfer.adapters.onnx.verification import verify as verify

# Lazy, because files can be run without torch.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DenseNetwork": f"{__name__}.dense.network",
        "LinearHead": f"{__name__}.head",
        "OnnxDenseModel": f"{__name__}.runtime.dense",
        "OnnxEncoder": f"{__name__}.runtime.encoder",
        "Quantization": f"{__name__}.quantization",
        "export": f"{__name__}.exporting",
        "export_dense": f"{__name__}.dense.exporting",
        "triton_repository": f"{__name__}.triton",
        "verify": f"{__name__}.verification",
        "verify_dense": f"{__name__}.dense.verification",
    },
)
