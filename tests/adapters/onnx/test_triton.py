import http.server
import json
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from sslhsic_transfer.adapters.onnx import OnnxEncoder, triton_repository
from sslhsic_transfer.adapters.onnx.exporting import weights_hash
from sslhsic_transfer.adapters.onnx.graph import encoder_graph
from sslhsic_transfer.adapters.onnx.info import OnnxInfo
from sslhsic_transfer.adapters.onnx.preprocessing import prepend
from sslhsic_transfer.adapters.onnx.saving import describe, write_model
from sslhsic_transfer.errors import ConfigError, ModelFileError, ModelNotFoundError, OutputExistsError
from sslhsic_transfer.hub.publishing.examples import python_examples
from sslhsic_transfer.sample import sign_digits
from tests.adapters.onnx.model_config import read_config

README = Path(__file__).parents[3] / "examples" / "triton" / "README.md"
TYPES = {TensorProto.FLOAT: 11, TensorProto.UINT8: 2}


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory):
    """A function from options to a file, as `export` writes it, without the verification that has tests of its own."""
    folder = tmp_path_factory.mktemp("exported")
    graphs, done = {}, {}

    def graph_of(form, outputs, batch):
        key = (form, outputs, batch)
        if key not in graphs:
            graphs[key] = encoder_graph(encoder, outputs, batch=batch)
            if form != "normalized":
                prepend(graphs[key], encoder.preprocessing, form)
        return graphs[key]

    def write(form="normalized", outputs=("pooled",), batch=None, model="org/digits-r18"):
        key = (form, outputs, batch, model)
        if key not in done:
            graph = graph_of(form, outputs, batch)
            info = OnnxInfo(
                model=model,
                weights_sha256=weights_hash(encoder),
                encoder=encoder.config,
                preprocessing=encoder.preprocessing,
                input=form,
                outputs=outputs,
                precision="fp32",
                opset=20,
                library_version="1.0",
            )
            describe(graph, info)
            done[key] = folder / f"{len(done)}.onnx"
            write_model(graph, done[key])
        return done[key]

    return write


@pytest.mark.parametrize(
    ("form", "outputs", "batch"),
    [("normalized", ("pooled", "c5"), None), ("pictures", ("pooled",), None), ("normalized", ("pooled",), 4)],
)
def test_configuration_is_that_of_the_file(form, outputs, batch, exported, encoder, tmp_path):
    file = exported(form, outputs, batch)
    folder = triton_repository(file, tmp_path / "repository")
    assert folder == tmp_path / "repository" / "digits-r18"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {"config.pbtxt", "1", "1/model.onnx"}
    assert (folder / "1/model.onnx").read_bytes() == file.read_bytes()

    config = read_config((folder / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.name, config.backend, config.platform) == (folder.name, "onnxruntime", "")
    assert config.max_batch_size == (0 if batch else 64)
    assert config.HasField("dynamic_batching") == (batch is None), "it needs a dimension of its own"
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 0)]
    parameters = {entry.key: entry.value.string_value for entry in config.parameters}
    assert parameters["sslhsic.weights_sha256"] == weights_hash(encoder)

    graph = onnx.load(file).graph
    for described, real in ((config.input, graph.input), (config.output, graph.output)):
        assert [tensor.name for tensor in described] == [value.name for value in real]
        for tensor, value in zip(described, real, strict=True):
            kind = value.type.tensor_type
            assert tensor.data_type == TYPES[kind.elem_type]
            shape = [side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim]
            # Triton adds the first dimension itself where it makes batches, and then wants it free in the file.
            assert ([-1] if config.max_batch_size else []) + list(tensor.dims) == shape


def test_batches_of_the_users_size(exported, tmp_path):
    folder = triton_repository(exported(), tmp_path, name="small", max_batch_size=3)
    assert read_config((folder / "config.pbtxt").read_text()).max_batch_size == 3
    folder = triton_repository(exported(), tmp_path, name="none", max_batch_size=0)
    config = read_config((folder / "config.pbtxt").read_text())
    assert list(config.input[0].dims) == [-1, 3, -1, -1]
    assert not config.HasField("dynamic_batching")
    with pytest.raises(ConfigError, match=r"max_batch_size=-1; expected 0 or more"):
        triton_repository(exported(), tmp_path, name="less", max_batch_size=-1)
    with pytest.raises(ConfigError, match="fixed to batches of 4"):
        triton_repository(exported(batch=4), tmp_path, name="fixed", max_batch_size=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none", "small"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", "a b", 'a"b', ".hidden"])
def test_names_that_are_no_folders_are_refused(name, exported, tmp_path):
    with pytest.raises(ConfigError, match="Got the model name"):
        triton_repository(exported(), tmp_path / "repository", name=name)
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("strange", "name"), [('org/.. "ünder" \\ {x}', "nder_x_"), ("org/...", "encoder"), ("2024", "2024"), ("[1]", "1_")]
)
def test_names_and_texts_of_any_kind_are_written_safely(strange, name, exported, tmp_path):
    folder = triton_repository(exported(model=strange), tmp_path)
    assert folder == tmp_path / name
    config = read_config((folder / "config.pbtxt").read_text(encoding="utf-8"))
    assert {entry.key: entry.value.string_value for entry in config.parameters}["sslhsic.model"] == strange


def test_a_model_that_is_there_is_replaced_only_when_asked(exported, tmp_path):
    triton_repository(exported(), tmp_path, name="encoder")
    (tmp_path / "encoder" / "2").mkdir()
    with pytest.raises(OutputExistsError, match=r"encoder already exists.*--overwrite"):
        triton_repository(exported(batch=4), tmp_path, name="encoder")
    triton_repository(exported(batch=4), tmp_path, name="encoder", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == ["1", "config.pbtxt"]
    assert read_config((tmp_path / "encoder/config.pbtxt").read_text()).max_batch_size == 0
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no file .*absent\.onnx"):
        triton_repository(tmp_path / "absent.onnx", tmp_path / "repository")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelFileError, match="is not run"):
        triton_repository(tmp_path / "text.onnx", tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_weights_in_a_second_file_come_along(exported, tmp_path):
    model = onnx.load(exported())
    onnx.save_model(model, tmp_path / "large.onnx", save_as_external_data=True, location="large.onnx.data")
    folder = triton_repository(tmp_path / "large.onnx", tmp_path / "repository")
    assert sorted(path.name for path in (folder / "1").iterdir()) == ["large.onnx.data", "model.onnx"]
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    found = OnnxEncoder.from_pretrained(folder / "1/model.onnx")(images)
    np.testing.assert_array_equal(found, OnnxEncoder.from_pretrained(exported())(images))


@pytest.fixture
def server(exported, tmp_path):
    """Serve a model of the repository by the v2 protocol with binary tensors, as Triton's documentation has it."""
    folder = triton_repository(exported("pictures"), tmp_path, name="encoder")
    config = read_config((folder / "config.pbtxt").read_text())
    encoder = OnnxEncoder.from_pretrained(folder / "1/model.onnx")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            start = int(self.headers["Inference-Header-Content-Length"])
            head = json.loads(body[:start])
            (tensor,), (output,) = head["inputs"], head["outputs"]
            assert self.path == f"/v2/models/{config.name}/infer"
            assert (tensor["name"], tensor["datatype"]) == (config.input[0].name, "UINT8")
            assert (output["name"], output["parameters"]) == (config.output[0].name, {"binary_data": True})
            assert len(body) - start == tensor["parameters"]["binary_data_size"]
            assert len(tensor["shape"]) == 1 + len(config.input[0].dims)
            values = encoder(np.frombuffer(body[start:], np.uint8).reshape(tensor["shape"]))
            size = {"binary_data_size": values.nbytes}
            given = {"name": "pooled", "datatype": "FP32", "shape": values.shape, "parameters": size}
            answer = json.dumps({"model_name": config.name, "outputs": [given]}).encode()
            self.send_response(200)
            self.send_header("Inference-Header-Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer + values.tobytes())

        def log_message(self, *parts):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_client_of_the_readme(server, encoder, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (code,) = python_examples(README.read_text(encoding="utf-8"))
    names = {}
    exec(code, names)
    picture = next(sign_digits().test.rglob("*.jpg"))
    found, expected = names["embed"](picture, server=server), encoder.embed(picture)[0].numpy()
    assert found.shape == expected.shape
    assert float(found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)) > 0.9999


def test_command(sslhsic_here, model_folder, tmp_path):
    told = sslhsic_here(
        "export", model_folder, "--output", "model.onnx", "--triton", "repository", "--triton-name", "digits"
    ).stdout
    assert "For Triton: repository/digits" in told
    assert (tmp_path / "repository/digits/1/model.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
    assert read_config((tmp_path / "repository/digits/config.pbtxt").read_text()).name == "digits"
