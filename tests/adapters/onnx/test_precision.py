"""Float16: smaller, near, float32 at both ends."""

import onnx
import pytest
import torch

from sslhsic_transfer.adapters.onnx import export
from sslhsic_transfer.errors import ExportError
from tests.adapters.onnx.conftest import lively


def test_half_the_bytes_and_float32_at_both_ends(files):
    model = onnx.load(files / "fp16.onnx")
    half, full = ((files / f"{name}.onnx").stat().st_size for name in ("fp16", "resized"))
    assert half == pytest.approx(full / 2, rel=0.01)
    ends = [*model.graph.input, *model.graph.output]
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
    convolutions = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert convolutions == {onnx.TensorProto.FLOAT16}


def test_weights_beyond_its_range(tmp_path):
    encoder = lively()
    with torch.no_grad():
        encoder.layer1[0].conv1.weight[0, 0, 0, 0] = 1e6
    with pytest.raises(ExportError, match=r"beyond float16's 65504"):
        export(encoder, tmp_path / "m.onnx", precision="fp16")
