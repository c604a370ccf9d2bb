import subprocess
import sys

import numpy as np
import pytest
from detectron2 import model_zoo
from detectron2.layers import DeformConv
from PIL import Image


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_a_missing_package_names_the_command():
    done = python(
        "import sys; sys.modules['detectron2'] = None\n"
        "import sslhsic_transfer.adapters.detectron2 as adapter\n"
        "adapter.fine_tune"
    )
    assert "MissingDependencyError" in done.stderr
    assert "the package 'detectron2', which is not installed" in done.stderr
    command = "pip install 'sslhsic-transfer[detectron2]' && python -m sslhsic_transfer.adapters.detectron2.install"
    assert command in done.stderr


def test_the_model_zoo_finds_its_files_and_nobody_else_a_pkg_resources():
    assert model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml").endswith(".yaml")
    assert not hasattr(sys.modules.get("pkg_resources"), "__file__") or "detectron2" not in str(
        sys.modules["pkg_resources"]
    )


def test_names_that_other_libraries_dropped_are_there():
    assert Image.LINEAR == Image.Resampling.BILINEAR
    assert np.zeros(2, dtype=np.float).dtype == np.float64


def test_what_needs_compiled_operations_says_so():
    """By the stand-in of this library, or by the one that the installation has written into Detectron2."""
    from detectron2 import _C

    assert DeformConv(3, 4, 3).weight.shape == (4, 3, 3, 3)
    with pytest.raises(ImportError, match="no compiled operations, and box_iou_rotated is one"):
        _ = _C.box_iou_rotated
