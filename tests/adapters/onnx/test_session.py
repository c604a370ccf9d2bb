"""Providers by name, with what became of them; threads that fit what the process may use."""

import numpy as np
import onnxruntime
import pytest

from sslhsic_transfer._processors import usable_cpus
from sslhsic_transfer.adapters.onnx.runtime import session
from sslhsic_transfer.adapters.onnx.runtime.model_file import ModelFile, inspect
from sslhsic_transfer.adapters.onnx.runtime.session import open_session, pad_batch
from sslhsic_transfer.errors import ConfigError, InputError, ModelFileError


@pytest.fixture
def model(files):
    return inspect(files / "model.onnx")


def test_by_default_on_what_there_is(model):
    opened, report = open_session(model)
    assert report.used == ("cpu",)
    assert not report.left_out
    assert opened.get_providers() == ["CPUExecutionProvider"]
    assert str(report) == "ONNX Runtime runs on cpu"


def test_what_is_not_there_is_reported_with_what_brings_it(model):
    _, report = open_session(model, ["tensorrt", "cuda", "openvino", "coreml"])
    assert report.used == ("cpu",)
    assert "pip install onnxruntime-gpu" in report.left_out["cuda"]
    assert "not on openvino: this onnxruntime does not have it: pip install onnxruntime-openvino" in str(report)


def test_a_provider_that_does_not_start_is_reported(model, monkeypatch):
    monkeypatch.setitem(session.PROVIDERS, "cuda", session.Provider("AzureExecutionProvider", "onnxruntime"))
    start = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *arguments, providers: start(*arguments))
    opened, report = open_session(model, ["cuda"])
    assert opened.get_providers() == ["CPUExecutionProvider"]
    assert "could not start" in report.left_out["cuda"]
    assert report.used == ("cpu",)


def test_unknown_providers_and_threads(model):
    with pytest.raises(ConfigError, match="Unknown providers gpu; expected some of: tensorrt, cuda"):
        open_session(model, ["gpu"])
    with pytest.raises(ConfigError, match="threads=0"):
        open_session(model, threads=0)


def test_threads_are_those_that_the_process_may_use(model, monkeypatch):
    opened, _ = open_session(model)
    assert opened.get_session_options().intra_op_num_threads == usable_cpus()
    opened, _ = open_session(model, threads=1)
    assert opened.get_session_options().intra_op_num_threads == 1


def test_what_onnx_runtime_refuses_is_an_error_of_ours(tmp_path, model):
    broken = ModelFile(tmp_path / "model.onnx", model.content[: len(model.content) // 2])
    with pytest.raises(ModelFileError, match=r"model.onnx cannot be run"):
        open_session(broken)


def test_a_batch_is_filled_up_as_far_as_fits():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    assert pad_batch(images, None) is images
    assert pad_batch(images, 2) is images
    full = pad_batch(images, 5)
    assert full.shape == (5, 3, 4, 4)
    assert (full[2:] == images[1]).all()
    with pytest.raises(InputError, match=r"fixed to batches of 10000000, .* up to 134217728 fit"):
        pad_batch(images, 10_000_000)
