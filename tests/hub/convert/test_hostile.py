"""Checkpoints of a few bytes that stand for gigabytes, and tensors that are no weights: refused, by name, at once."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from sslhsic_transfer.cli import main
from sslhsic_transfer.errors import SSLHSICError, WeightsError
from sslhsic_transfer.hub.convert import convert_byol, convert_torch
from sslhsic_transfer.hub.convert.unpickle import load_pickled
from tests.memory import peak_of

LEAST = 300  # MiB: what refusing may take, torch's own machinery included


def archive(path, instructions, *, compression=zipfile.ZIP_STORED, **entries):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", instructions)
        file.writestr("a/version", "3\n")
        file.writestr("a/byteorder", "little")
        for name, content in entries.items():
            file.writestr(f"a/{name}", content)
    return path


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def calls(function, argument, times):
    """A list of what a function makes of one argument, again and again."""
    return b"\x80\x02](" + (b"c" + function + argument + b"\x85R") * times + b"e."


BOMBS = {
    "a bytearray": b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "a bytearray of old": b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "a bytearray by its parts": b"\x80\x04" + text("builtins") + text("bytearray") + b"\x93J\x00\x00\x00\x7f\x85R.",
    "one text encoded again and again": b"\x80\x02(" + text("a" * 1_000_000) + b"q\x000"
    + b"c_codecs\nencode\nh\x00\x58\x06\x00\x00\x00latin1\x86R" * 8000 + b"l.",
    "one list as many sets": b"\x80\x02(](" + b"".join(b"J" + struct.pack("<i", n) for n in range(200_000)) + b"eq\x000"
    + b"cbuiltins\nset\nh\x00\x85R" * 3000 + b"l.",
}  # fmt: skip


MANY = {
    "empty dictionaries": b"\x80\x02(" + b"}" * 30_000_000 + b"l.",
    "empty sets": b"\x80\x04(" + b"\x8f" * 30_000_000 + b"l.",
    "lists in lists": b"\x80\x02" + b"](" * 2_500_000 + b"e" * 2_500_000 + b".",
}
BOMBS |= MANY
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in MANY else name for name in BOMBS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zipped", [True, False])
def test_few_instructions_for_much(name, zipped, tmp_path):
    path = tmp_path / "a.pth"
    if zipped:
        archive(path, BOMBS[name])
    else:
        path.write_bytes(BOMBS[name])
    told, grown = peak_of(convert_torch, path)
    assert told.startswith("WeightsError"), told
    assert grown < LEAST
    path = path.rename(tmp_path / "a.pkl")
    told, grown = peak_of(convert_torch, path)
    assert told.startswith("WeightsError"), told
    assert grown < LEAST


def test_a_zip_that_unpacks(tmp_path):
    path = archive(tmp_path / "a.pth", b"\x80\x02}.", compression=zipfile.ZIP_DEFLATED, data=bytes(1 << 30))
    told, grown = peak_of(convert_torch, path)
    assert "'a/data.pkl' in it is compressed, which torch.save never does" in told
    assert grown < LEAST


def test_parts_that_overlap(tmp_path):
    path = archive(tmp_path / "a.pth", b"\x80\x02}.", **{"data/0": bytes(1 << 20), "data/1": bytes(1 << 20)})
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02", 0, content.rfind(b"a/data/1"))
    content[place + 20 : place + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"its parts have 107\d+ bytes, and the file 2"):
        convert_torch(path)


def many_names(network):
    """One large array where the blocks of a network that has no end would be."""
    state = dict(network.state_dict())
    large = torch.randn(512, 512, 3, 3)
    return state | {f"layer4.{n}.conv1.weight": large for n in range(2, 500)}


def strided(network):
    state = dict(network.state_dict())
    return state | {"layer4.0.conv1.weight": torch.zeros(1).expand(30_000, 30_000)}


@pytest.mark.parametrize("make", [many_names, strided])
def test_few_numbers_for_many(make, network, tmp_path):
    torch.save(make(network), tmp_path / "a.pth")
    told, grown = peak_of(convert_torch, tmp_path / "a.pth")
    assert told.startswith(("WeightsError", "UnknownArchitectureError")), told
    assert grown < LEAST


def test_one_array_under_many_names(network, tmp_path):
    large = np.random.default_rng(0).normal(size=(512, 512, 3, 3)).astype(np.float32)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with (tmp_path / "a.pkl").open("wb") as file:
        pickle.dump(state | {f"layer4.{n}.conv1.weight": large for n in range(2, 500)}, file)
    told, grown = peak_of(convert_torch, tmp_path / "a.pkl")
    assert told.startswith(("WeightsError", "UnknownArchitectureError")), told
    assert grown < LEAST


def test_numbers_that_are_there_once(network, tmp_path):
    """The shapes are right: each tensor of a network is a view of one number."""
    state = {
        name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in network.state_dict().items()
    }
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="the same numbers under many names, or repeated by strides of 0"):
        convert_torch(tmp_path / "a.pth")


def test_haikus_arrays_under_many_names(tmp_path):
    large = np.random.default_rng(0).normal(size=(3, 3, 512, 512)).astype(np.float32)
    network = "res_net18/~/"
    parameters = {f"{network}initial_conv": {"w": np.zeros((7, 7, 3, 64), np.float32)}}
    parameters[f"{network}initial_batchnorm"] = {"scale": np.ones((1, 1, 1, 64), np.float32)}
    parameters |= {f"{network}block_group_3/~/block_{n}/~/conv_0": {"w": large} for n in range(500)}
    with (tmp_path / "a.pkl").open("wb") as file:
        pickle.dump({"experiment_state": {"online_params": parameters, "online_state": {}}}, file)
    told, grown = peak_of(convert_byol, tmp_path / "a.pkl")
    assert told.startswith("WeightsError: ")
    assert "the same numbers under many names" in told
    assert grown < LEAST


def sparse(tensor):
    return tensor.to_sparse()


def compressed(tensor):
    return tensor.reshape(tensor.shape[0], -1).to_sparse_csr()


def quantized(tensor):
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


KINDS = {
    "sparse": (sparse, "sparse_coo"),
    "compressed": (compressed, "sparse_csr"),
    "quantized": (quantized, "quantized, torch.qint8"),
    "meta": (lambda tensor: tensor.to("meta"), "on the meta device, without values"),
    "complex": (lambda tensor: tensor.to(torch.complex64), "torch.complex64"),
    "integers": (lambda tensor: tensor.to(torch.int64), "torch.int64"),
    "bytes": (lambda tensor: tensor.to(torch.int8), "torch.int8"),
    "truth values": (lambda tensor: tensor > 0, "torch.bool"),
    "float8": (lambda tensor: tensor.to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of what it deprecates
@pytest.mark.parametrize("name", KINDS)
def test_kinds_that_are_no_weights(name, network, tmp_path):
    change, words = KINDS[name]
    state = dict(network.state_dict())
    state["layer1.0.conv1.weight"] = change(state["layer1.0.conv1.weight"])
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"1 tensors: layer1\.0\.conv1\.weight \({words}\)"):
        convert_torch(tmp_path / "a.pth")
    if name in ("complex", "integers", "bytes", "truth values", "float8"):
        save_file(state, tmp_path / "a.safetensors")
        with pytest.raises(WeightsError, match=rf"layer1\.0\.conv1\.weight \({words}\)"):
            convert_torch(tmp_path / "a.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_among_float32_become_float32(dtype, network, tmp_path):
    state = dict(network.state_dict())
    before = state["layer1.0.conv1.weight"]
    state["layer1.0.conv1.weight"] = before.to(dtype)
    state["bn1.num_batches_tracked"] = torch.tensor(7.0)
    state["layer1.0.bn1.num_batches_tracked"] = torch.tensor(7, dtype=torch.int32)
    torch.save(state, tmp_path / "a.pth")
    encoder = convert_torch(tmp_path / "a.pth").encoder
    assert {tensor.dtype for tensor in encoder.state_dict().values()} == {torch.float32, torch.int64}
    assert torch.equal(encoder.layer1[0].conv1.weight, before.to(dtype).float())
    assert encoder.bn1.num_batches_tracked == encoder.layer1[0].bn1.num_batches_tracked == 7


class Other(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bn1.num_batches_tracked": torch.tensor(0.5)}, r"bn1.num_batches_tracked \(no whole number\)"),
        ({"bn1.num_batches_tracked": torch.tensor(torch.inf)}, r"bn1.num_batches_tracked \(no whole number\)"),
        ({"bn1.weight": torch.full((64,), 1e300, dtype=torch.float64)}, r"NaN or infinite values:\n.*bn1\.weight"),
        ({"bn1.weight": torch.tensor(1.0)}, r"bn1\.weight \(\) instead of \(64,\)"),
        ({"bn1.weight": torch.empty(0)}, r"bn1\.weight \(0,\) instead of \(64,\)"),
        ({"bn1.weight": torch.nn.Parameter(torch.full((64,), torch.nan))}, r"NaN or infinite values:\n.*bn1\.weight"),
        ({("a", ("b",)): torch.zeros(1)}, r"\('a', \('b',\)\)\W is a Tensor; expected a state dict"),
    ],
)
def test_nothing_is_left_behind(change, words, network, tmp_path, capsys, monkeypatch):
    torch.save(dict(network.state_dict()) | change, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=words):
        convert_torch(tmp_path / "a.pth")
    arguments = ["sslhsic", "convert", "torch", str(tmp_path / "a.pth"), "--output", str(tmp_path / "out" / "model")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        main()
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_stands_in_the_place_of_a_checkpoint(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7" * 64 + b"\nsize 44700000\n"
    for content, words in (
        (pointer, r"is a Git LFS pointer, not the file itself: run `git lfs pull`"),
        (b"<html>not found</html>", "begins with '<html>not found</html>': it is a web page; download the file itself"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html><p>", "it is a web page"),
        (b"", "is empty"),
        (b"Entry not found", "begins with 'Entry not found'"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "begins with the bytes 1f 8b 08 00"),
    ):
        for name in ("a.pth", "a.pkl", "a.safetensors"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(WeightsError, match=words):
                convert_torch(tmp_path / name)
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(WeightsError, match=words):
            load_pickled(tmp_path / "a.npy")


def small():
    buffer = io.BytesIO()
    torch.save(
        OrderedDict({"conv1.weight": torch.zeros(2, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(1), "n": [1, "a"]}),
        buffer,
    )
    return buffer.getvalue()


SMALL = small()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_an_error_of_ours(places, tmp_path):
    content = bytearray(SMALL)
    for place, value in places:
        content[int(place * len(content))] = value
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(SSLHSICError):
        convert_torch(tmp_path / "a.pth")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    instructions=st.lists(
        st.sampled_from(
            [b"(", b"}", b"]", b")", b"N", b"0", b"1", b"t", b"l", b"d", b"e", b"u", b"s", b"a", b"b", b"R", b"Q",
             b"\x81", b"\x85", b"\x86", b"\x87", b"\x93", b"\x94", b"q\x00", b"h\x00", b"K\x05", b"\x8f", b"\x90",
             b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
             b"ctorch\nSize\n", b"ctorch\nTensor\n", b"cbuiltins\nset\n", b"ccollections\nCounter\n",
             b"c_codecs\nencode\n", b"ctorch\nUntypedStorage\n", b"J\xff\xff\xff\x7f", text("0"), text("cpu"),
             text("storage"), text("conv1.weight")]
        ),
        max_size=40,
    ),
    zipped=st.booleans(),
)  # fmt: skip
def test_any_instructions_are_an_error_of_ours(instructions, zipped, tmp_path):
    content = b"\x80\x02" + b"".join(instructions) + b"."
    path = tmp_path / "a.pth"
    if zipped:
        archive(path, content, **{"data/0": bytes(16)})
    else:
        path.write_bytes(content)
    with pytest.raises(SSLHSICError):
        convert_torch(path)
