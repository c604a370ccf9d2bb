"""ONNX Runtime optimizes exported graphs: nothing may keep it from its fused kernels."""

from collections import Counter

import onnx
import onnxruntime
import pytest

CONVOLUTIONS = 20  # of a ResNet-18


def operators(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.fixture
def optimized(files, tmp_path):
    """A function from a file's name to the operators that a session with the usual settings runs."""

    def find(name):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / name)
        options.log_severity_level = 3  # that such a graph fits this processor only is known
        onnxruntime.InferenceSession(files / name, options, providers=["CPUExecutionProvider"])
        return operators(tmp_path / name)

    return find


def test_float32_convolutions_take_in_activations_and_sums(optimized):
    found = optimized("fixed.onnx")
    assert found["Conv"] + found["FusedConv"] == CONVOLUTIONS
    assert not found["Relu"] + found["Add"] + found["BatchNormalization"]
    assert not found["Transpose"], "layouts change by ReorderInput and ReorderOutput, at the ends"
    assert found["ReorderInput"] <= 1
    assert found["ReorderOutput"] <= 1
    assert found["MaxPool"] == 1
    assert found.total() - CONVOLUTIONS <= 5, found  # pooling, mean, flattening, layout


def test_int8_stays_integer_and_channels_last_from_end_to_end(optimized):
    found = optimized("int8.onnx")
    assert found["QLinearConv"] == CONVOLUTIONS
    assert found["QLinearAdd"] == 8
    assert not found["Conv"] + found["FusedConv"] + found["Relu"] + found["Add"]
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1
    assert found["Transpose"] <= 2, "one at each end"
