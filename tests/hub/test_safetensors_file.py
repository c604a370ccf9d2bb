import json
import struct
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import ModelNotFoundError, SSLHSICError, WeightsError
from sslhsic_transfer.hub import safetensors_file
from sslhsic_transfer.hub.encoder import load_folder
from sslhsic_transfer.hub.safetensors_file import read_safetensors_file
from tests.memory import peak_of

DTYPES = sorted(set(safetensors_file._DTYPES.values()) - {torch.uint16, torch.uint32, torch.uint64}, key=str)


def bare(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def entry(**changes):
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6),
    dtype=st.sampled_from(DTYPES),
    metadata=st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1, max_size=3),
)
def test_what_safetensors_writes_is_read_as_it_reads_it(shapes, dtype, metadata, tmp_path):
    tensors = {f"t{n}": torch.from_numpy(np.asarray(np.random.default_rng(n).normal(size=shape) * 9)).to(dtype)
               for n, shape in enumerate(shapes)}  # fmt: skip
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata=metadata)
    found = read_safetensors_file(path, hashed=True)
    expected = load_file(path)
    assert found.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found.tensors[name].contiguous().view(torch.uint8) if tensor.ndim else found.tensors[name],
                           tensor.contiguous().view(torch.uint8) if tensor.ndim else tensor)  # fmt: skip
    assert found.metadata == (metadata or {})
    assert found.sha256 == sha256_of_file(path)
    assert read_safetensors_file(path).sha256 is None


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"a": entry(shape=[1 << 40], data_offsets=[0, 4 << 40])}, "declares 4398046511104 bytes of tensors; 8 are"),
        ({"a": entry(shape=[3])}, r"'a', F32 of shape \[3\], has 8 bytes instead of 12"),
        ({"a": entry(), "b": entry()}, "the bytes of 'b' begin at 0, where 8 was expected"),
        ({"a": entry(data_offsets=[4, 12])}, "begin at 4, where 0"),
        ({"a": entry(dtype="F4")}, "is of dtype 'F4'; expected one of: BOOL"),
        ({"a": entry(shape=[-2, -1])}, "not whole numbers from 0 on"),
        ({"a": entry(shape=[2.0])}, "not whole numbers from 0 on"),
        ({"a": entry(shape=[True, 2])}, "not whole numbers from 0 on"),
        ({"a": entry(shape=[1] * 40)}, "not whole numbers from 0 on"),
        ({"a": entry(shape=[1 << 70, 0], data_offsets=[0, 0])}, "not whole numbers from 0 on"),
        ({"a": [1]}, "is not described by dtype, shape and data_offsets"),
        ({"a": entry(more=1)}, "is not described by"),
        ({"__metadata__": {"a": 1}}, "metadata are not texts"),
        ([], "its header is a list"),
        (b"[" * 100_000, "levels within one another"),
        (b"{" * 9, "more than 4 levels|Expecting"),
        (b"\xff\xfe", "decode"),
        ({}, "declares 0 bytes of tensors; 8 are there"),
    ],
)
def test_headers_that_do_not_fit(header, words, tmp_path):
    path = bare(tmp_path / "a.safetensors", header, bytes(8))
    with pytest.raises(WeightsError, match=rf"is not a whole safetensors file: .*(?:{words}).*Fetch or save it again"):
        read_safetensors_file(path)


def test_a_header_that_declares_more_takes_no_memory(tmp_path):
    path = bare(tmp_path / "a.safetensors", {"a": entry(shape=[1 << 32], data_offsets=[0, 4 << 32])}, bytes(8))
    told, grown = peak_of(read_safetensors_file, path)
    assert told.startswith("WeightsError")
    assert grown < 50


def test_no_file_a_folder_and_other_content(tmp_path):
    for path in (tmp_path / "a.safetensors", tmp_path):
        with pytest.raises(ModelNotFoundError):
            read_safetensors_file(path)
    for content, words in (
        (b"", "it is empty"),
        (b"\x05", "begins with the bytes 05"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:77\n", "it is a Git LFS pointer.*git lfs pull"),
        (b"<!doctype html><html></html>", "it is a web page; download the file itself"),
        (b"PK\x03\x04" + bytes(80), "its header would have"),
    ):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(WeightsError, match=words):
            read_safetensors_file(tmp_path / "a.safetensors")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
)
def test_changed_and_cut_files_are_read_or_an_error_of_ours(places, cut, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3, 2), "b": torch.zeros(1, dtype=torch.int64)}, path)
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[int(place * len(content))] = value
    path.write_bytes(content[: max(1, int(cut * len(content)))] if cut < 0.9 else content)
    try:
        found = read_safetensors_file(path)
    except SSLHSICError:
        return
    assert sum(tensor.nbytes for tensor in found.tensors.values()) <= len(content)


def test_tensors_share_no_memory(tmp_path):
    save_file({"a": torch.ones(3), "b": torch.ones(3)}, tmp_path / "a.safetensors")
    found = read_safetensors_file(tmp_path / "a.safetensors").tensors
    assert found["a"].untyped_storage().data_ptr() != found["b"].untyped_storage().data_ptr()
    assert found["a"].untyped_storage().nbytes() == 12


def overwrite(folder, other, stop):
    """Write two sets of weights in turns, each in place, as `cp` and some editors do."""
    contents = [{name: (place / name).read_bytes() for name in ("model.safetensors", "config.json")}
                for place in (other, folder)]  # fmt: skip
    while not stop.is_set():
        for content in contents:
            for name, data in content.items():
                with (folder / name).open("wb") as file:
                    file.write(data[: len(data) // 2])
                    file.flush()
                    file.write(data[len(data) // 2 :])
            time.sleep(0.7)


def load_often(folder):
    end = time.monotonic() + 6
    loaded = 0
    while time.monotonic() < end:
        try:
            load_folder(folder)
            loaded += 1
        except SSLHSICError:
            continue
    assert loaded, "never whole"


def test_weights_that_are_overwritten_while_they_are_read_end_no_process(own_model, tmp_path):
    from sslhsic_transfer import create_encoder

    create_encoder("resnet18").save_pretrained(tmp_path / "other")
    stop = threading.Event()
    writer = threading.Thread(target=overwrite, args=(own_model, tmp_path / "other", stop))
    writer.start()
    try:
        told, _ = peak_of(load_often, own_model, method="spawn")
    finally:
        stop.set()
        writer.join()
    assert told == "done"


def test_a_folder_whose_files_are_of_two_moments_is_read_again(own_model, tmp_path):
    from sslhsic_transfer import create_encoder

    create_encoder("resnet18").save_pretrained(tmp_path / "other")
    (own_model / "model.safetensors").write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    follows = threading.Timer(
        0.2, lambda: (own_model / "config.json").write_bytes((tmp_path / "other/config.json").read_bytes())
    )
    follows.start()
    assert load_folder(own_model).weights_sha256 == sha256_of_file(own_model / "model.safetensors")
    follows.join()
