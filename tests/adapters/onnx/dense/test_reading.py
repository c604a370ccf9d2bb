"""Files that are no exported dense model, or a damaged one, are refused before they run."""

import onnx
import pytest

from sslhsic_transfer.adapters.onnx import OnnxDenseModel, OnnxEncoder
from sslhsic_transfer.errors import ModelFileError


def changed(path, target, change):
    model = onnx.load(path)
    change(model)
    target.write_bytes(model.SerializeToString())
    return target


def without_task(model):
    for entry in [entry for entry in model.metadata_props if entry.key == "sslhsic.task"]:
        model.metadata_props.remove(entry)


def looping(model):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", [""], ["looped"], body=body))


def foreign_operator(model):
    model.graph.node.append(onnx.helper.make_node("Shell", ["images"], ["shell"], domain="com.example"))


def test_encoders_and_dense_models_are_not_mistaken_for_one_another(exported, tmp_path):
    with pytest.raises(ModelFileError, match=r"is an exported dense model, no encoder: open it by OnnxDenseModel"):
        OnnxEncoder.from_pretrained(exported[0])
    path = changed(exported[0], tmp_path / "encoder.onnx", without_task)
    with pytest.raises(ModelFileError, match=r"is an exported encoder, no dense model: open it by OnnxEncoder"):
        OnnxDenseModel.from_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.ClearField("metadata_props"), "says nothing of itself: it is no dense model"),
        (looping, r"operator .* holds a sub-graph"),
        (foreign_operator, r"holds the operator 'com\.example\.Shell', which no exported dense model has"),
        (lambda model: model.graph.output.pop(), r"gives logits, and its metadata name logits, classes"),
    ],
)
def test_hostile_and_foreign_files_are_refused(change, message, exported, tmp_path):
    with pytest.raises(ModelFileError, match=message):
        OnnxDenseModel.from_file(changed(exported[0], tmp_path / "other.onnx", change))


def test_damaged_files_are_refused(exported, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(exported[0].read_bytes()[:100_000])
    with pytest.raises(ModelFileError, match="cut off"):
        OnnxDenseModel.from_file(path)
