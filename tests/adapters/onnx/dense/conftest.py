import pytest

import sslhsic_transfer.adapters.mmseg  # noqa: F401 - before any test imports mmseg itself, which warns
from sslhsic_transfer.adapters.onnx import export_dense
from sslhsic_transfer.adapters.torchvision import fcn
from tests.adapters.onnx.dense.networks import CLASSES, encoder, segments, stirred


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file with logits and classes for uint8 pictures, and its network."""
    path = tmp_path_factory.mktemp("dense") / "fcn.onnx"
    dense = segments(stirred(fcn(encoder(), len(CLASSES), output_stride=32)), resize=64)
    export_dense(dense, path, outputs=("logits", "classes"), input="resized")
    return path, dense
