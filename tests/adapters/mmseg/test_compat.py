import os
import subprocess
import sys

import pytest
import torch
from mmengine.logging import HistoryBuffer

from sslhsic_transfer.adapters.mmseg.compat import read_checkpoint
from sslhsic_transfer.errors import CheckpointError


def test_without_the_framework_the_error_is_the_install_command():
    code = (
        "import sys; sys.modules['mmseg'] = None\n"
        "from sslhsic_transfer.adapters.backbone import DenseBackbone\n"
        "from sslhsic_transfer.errors import MissingDependencyError\n"
        "try:\n    import sslhsic_transfer.adapters.mmseg\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "needs the package 'mmseg'" in done.stdout
    assert "pip install 'sslhsic-transfer[mmseg]'" in done.stdout


class Harmful:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return self.code


def test_checkpoints_of_mmengine_are_read(tmp_path):
    history = HistoryBuffer()
    history.update(0.5)
    torch.save({"message_hub": {"loss": history}, "x": torch.ones(2)}, tmp_path / "a.pth")
    found = read_checkpoint(str(tmp_path / "a.pth"))
    assert found["message_hub"]["loss"].mean() == 0.5
    assert torch.equal(found["x"], torch.ones(2))


@pytest.mark.parametrize("code", [(os.mkdir, ("made",)), (getattr, (HistoryBuffer, "__init__"))])
def test_code_in_checkpoints_is_refused(tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Harmful(code)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="plain data"):
        read_checkpoint(str(tmp_path / "a.pth"))
    assert not (tmp_path / "made").exists()


def test_damage_is_told(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=r"a\.pth cannot be read"):
        read_checkpoint(str(tmp_path / "a.pth"))
