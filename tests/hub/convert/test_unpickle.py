import collections
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys

import numpy as np
import pytest

from sslhsic_transfer.errors import ModelNotFoundError, WeightsError
from sslhsic_transfer.hub.convert.rebuild import Record
from sslhsic_transfer.hub.convert.unpickle import load_pickled

DATA = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f4"),
    "half": np.ones((1, 1, 1, 2), np.float16),
    "flags": np.array([True, False]),
    "counter": np.asarray(7, np.int32),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.float32(2.5),
    "nested": {"list": [1, 2.5, "text", None, True, -(2**40)], "tuple": (1, (2, 3, 4, 5)), "bytes": b"\x00\xff"},
    "ordered": collections.OrderedDict(a=1, b=2),
    3: "a number as key",
}
DATA["the same matrix"] = DATA["matrix"]


def write(path, content: bytes):
    path.write_bytes(content)
    return path


def assert_equal(found, expected):
    if isinstance(expected, np.ndarray | np.generic):
        assert isinstance(found, np.ndarray)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        return
    assert type(found) is (dict if isinstance(expected, dict) else type(expected))
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_pickled_is_what_is_read(protocol, tmp_path):
    assert_equal(load_pickled(write(tmp_path / "a.pkl", pickle.dumps(DATA, protocol))), DATA)


def test_pythons_own_pickler_gives_the_same(tmp_path):
    """The one written in Python uses other instructions than the one in C: POP, DICT, LONG_BINPUT, …"""
    stream = io.BytesIO()
    pickle._Pickler(stream, 4).dump(DATA)
    assert_equal(load_pickled(write(tmp_path / "a.pkl", stream.getvalue())), DATA)
    assert_equal(load_pickled(write(tmp_path / "a.pkl", pickletools.optimize(pickle.dumps(DATA)))), DATA)


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
def test_arrays_of_old_and_new_numpy(module, tmp_path):
    content = pickle.dumps(DATA["matrix"], 2)
    content = content.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", module.encode())
    assert_equal(load_pickled(write(tmp_path / "a.pkl", content)), DATA["matrix"])


def test_a_dictionary_that_numpy_saved(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    assert_equal(load_pickled(tmp_path / "a.npy"), DATA)


State = collections.namedtuple("State", ["mu", "nu"])


def test_named_tuples_that_dill_wrote(tmp_path):
    """BYOL's code saves with dill and protocol 2, which writes the class of a named tuple by its fields."""
    dill = pytest.importorskip("dill")
    content = dill.dumps({"state": State(DATA["matrix"], (1, 2)), "step": 9, "rng": DATA["counter"]}, protocol=2)
    assert b"_create_namedtuple" in content
    found = load_pickled(write(tmp_path / "a.pkl", content))
    assert isinstance(found["state"], Record)
    assert_equal(found["state"].as_dict(), {"mu": DATA["matrix"], "nu": (1, 2)})
    assert_equal({key: found[key] for key in ("step", "rng")}, {"step": 9, "rng": DATA["counter"]})


class Named:
    """A call of any name, whether there is such a function here or not."""

    def __init__(self, module, name, *arguments):
        self.name, self.arguments = f"{module} {name}", arguments

    def dumps(self):
        return (
            b"\x80\x02c" + self.name.replace(" ", "\n").encode() + b"\n" + pickle.dumps(self.arguments, 2)[2:-1] + b"R."
        )


def test_mappings_of_haiku_and_arrays_of_jax(tmp_path):
    for name in ("FlatMapping", "FlatMap", "frozendict"):
        content = Named("haiku._src.data_structures", name, {"linear": {"w": DATA["matrix"]}}).dumps()
        assert_equal(load_pickled(write(tmp_path / "a.pkl", content)), {"linear": {"w": DATA["matrix"]}})
    function, arguments, state = DATA["matrix"].__reduce__()
    for module, name in (
        ("jax._src.array", "_reconstruct_array"),
        ("jax._src.device_array", "reconstruct_device_array"),
    ):
        content = Named(module, name, function, arguments, state, {"weak_type": False}).dumps()
        assert_equal(load_pickled(write(tmp_path / "a.pkl", content)), DATA["matrix"])


def test_the_optimizers_tuples_are_read_without_their_classes(tmp_path):
    content = Named("optax._src.transform", "ScaleByAdamState", 1, {"a": DATA["matrix"]}).dumps()
    found = load_pickled(write(tmp_path / "a.pkl", content))
    assert found.type.name == "optax._src.transform.ScaleByAdamState"
    assert found.as_dict() is None
    assert "optax" not in sys.modules


class Reduced:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


HOSTILE = {
    "os.system": Reduced(os.system, "touch MARKER"),
    "eval": Reduced(eval, "open('MARKER', 'w')"),
    "exec": Reduced(exec, "open('MARKER', 'w')"),
    "open": Reduced(open, "MARKER", "w"),
    "getattr": Reduced(getattr, "text", "upper"),
    "__import__": Reduced(__import__, "os"),
    "subprocess": Reduced(subprocess.Popen, ["touch", "MARKER"]),
    "pickle.loads": Reduced(pickle.loads, pickle.dumps(Reduced(os.system, "touch MARKER"))),
    "numpy.load": Reduced(np.load, "other.npy"),
    "numpy.memmap": Reduced(np.memmap, "MARKER", "uint8", "w+", 0, (3,)),
    "numpy.testing": Reduced(np.testing.measure, "open('MARKER', 'w')"),
    "a class": Reduced(collections.Counter, "abc"),
    "a set": {1, 2},
    "a complex number": 1j,
    "deep inside": {"experiment_state": [({"a": np.zeros(3)}, Reduced(os.system, "touch MARKER"))]},
    "in an array of objects": np.array([Reduced(os.system, "touch MARKER")], dtype=object),
    "an array of objects": np.array([1, None], dtype=object),
    "a structured array": np.zeros(2, dtype=[("a", "f4")]),
    "texts": np.array(["a", "bc"]),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "a type": np.float32,
    "a function": os.path.join,
    "a dictionary by tuples": {(1, 2): 3},
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_code_and_foreign_objects_are_refused(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pkl", pickle.dumps(HOSTILE[name], protocol))
    with pytest.raises(WeightsError, match=r"a\.pkl "):
        load_pickled(path)
    np.save(tmp_path / "a.npy", np.array({"experiment_state": HOSTILE[name]}, dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match=r"a\.npy "):
        load_pickled(tmp_path / "a.npy")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", "a.pkl"]


def test_the_refusal_names_what_was_asked_for(tmp_path):
    with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.system, .* Nothing was run"):
        load_pickled(write(tmp_path / "a.pkl", pickle.dumps(HOSTILE["os.system"])))


def op(text: str, *content: bytes) -> bytes:
    return b"\x80\x04" + text.encode("latin1") + b"".join(content) + b"."


def binary_text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
DTYPE = (
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
RAW = {
    "nested globals": op("", b"cnumpy.core.multiarray\n_reconstruct.__globals__\n."),
    "dotted by stack": op("", binary_text("numpy"), binary_text("core.multiarray._reconstruct"), b"\x93"),
    "names that are no texts": op("", b"K\x01K\x02\x93"),
    "the extension registry": op("", b"\x82\x01"),
    "a persistent id": op("", b"Pabc\n"),
    "a persistent id from the stack": op("", b"K\x01Q"),
    "an instance": op("", b"(ios\nsystem\n"),
    "an object": op("", b"(cnumpy\ndtype\no"),
    "buffers from outside": op("", b"\x97"),
    "state of a dictionary": op("", b"}}b"),
    "state of a name": op("", b"cnumpy\nndarray\n}b"),
    "attributes by state": op("", b"cnumpy\nndarray\n(N}", binary_text("x"), b"K\x01stb"),
    "a call of data": op("", b"K\x01)R"),
    "arguments that are no tuple": op("", b"cnumpy\ndtype\nK\x01R"),
    "ndarray itself": op("", b"cnumpy\nndarray\n", b"K\x01\x85R"),
    "bytes of a number": op("", b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R"),
    "another encoding": op("", b"c_codecs\nencode\n", binary_text("a"), binary_text("hex"), b"\x86R"),
    "an array without data": op("", ARRAY, b"(K\x01J\xff\xff\xff\x7f\x85", DTYPE, b"\x89C\x04abcdtb"),
    "an array of negative size": op("", ARRAY, b"(K\x01J\xff\xff\xff\xff\x85", DTYPE, b"\x89C\x00tb"),
    "an array with a dtype of its own": op("", ARRAY, b"(K\x01K\x01\x85", binary_text("f4"), b"\x89C\x04abcdtb"),
    "a state of too few parts": op("", ARRAY, b"K\x01\x85b"),
    "a memo index beyond the memo": op("", b"Nr\xff\xff\xff\xffj\xff\xff\xff\x7f"),
    "a huge text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a.",
    "a huge number of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"a.",
    "a huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",
    "a huge number": b"\x80\x04\x8b" + struct.pack("<i", 1 << 30) + b"a.",
    "a number of many digits": op("", b"L" + b"9" * 10_000 + b"L\n"),
    "an empty stack": op("", b""),
    "a pop below the mark": op("", b"(K\x01\x86"),
    "no mark": op("", b"K\x01t"),
    "an odd dictionary": op("", b"(K\x01d"),
    "a list as dictionary": op("", b"](K\x01K\x02u"),
    "text": b"conv1.weight = 3\n",
    "nothing": b"",
    "a later protocol": b"\x80\x09N.",
}


@pytest.mark.parametrize("name", RAW)
def test_malformed_and_abusive_pickles_are_refused(name, tmp_path):
    with pytest.raises(WeightsError, match=r"a\.pkl "):
        load_pickled(write(tmp_path / "a.pkl", RAW[name]))


def test_a_large_memo_index_costs_nothing(tmp_path):
    """Python's own unpickler reserves memory for as many entries as the index says."""
    assert load_pickled(write(tmp_path / "a.pkl", op("", b"K\x05r\xff\xff\xff\xff"))) == 5


def test_lists_of_lists_of_the_same_cost_nothing(tmp_path):
    """2^200 items, were they written out; the message must not write them out either."""
    doubled = b"(K\x01K\x02t" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(200))
    assert isinstance(load_pickled(write(tmp_path / "a.pkl", op("", doubled))), tuple)
    for content in (
        doubled + b"K\x01\x93",
        b"cnumpy\ndtype\n" + doubled + b"\x85R",
        b"c_codecs\nencode\n" + doubled + doubled + b"\x86R",
        b"}" + doubled + b"K\x01s",
        ARRAY + b"(K\x01" + doubled + DTYPE + b"\x89C\x00tb",
        b"cdill._dill\n_create_namedtuple\n(" + doubled + doubled + doubled + b"tR",
    ):
        with pytest.raises(WeightsError, match=r"a\.pkl "):
            load_pickled(write(tmp_path / "a.pkl", op("", content)))


def test_deep_nesting_is_no_recursion(tmp_path):
    found = load_pickled(write(tmp_path / "a.pkl", op("", b"]" * 100_000 + b"a" * 99_999)))
    assert isinstance(found, list)


def test_the_same_text_cannot_be_encoded_again_and_again(tmp_path):
    once = b"c_codecs\nencode\nh\x00h\x01\x86R0"
    content = op("", binary_text("x" * 10_000), b"q\x00", binary_text("latin1"), b"q\x01", once * 100, b"N")
    with pytest.raises(WeightsError, match="more bytes than it has"):
        load_pickled(write(tmp_path / "a.pkl", content))


def test_limits(tmp_path):
    path = write(tmp_path / "a.pkl", pickle.dumps(list(range(100))))
    with pytest.raises(WeightsError, match="more than 50 instructions"):
        load_pickled(path, most_instructions=50)
    with pytest.raises(WeightsError, match="expected a checkpoint of at most 20 bytes"):
        load_pickled(path, largest=20)


@pytest.mark.parametrize("length", [1, 2, 50, 300, -1])
def test_a_truncated_file_is_refused(length, tmp_path):
    content = pickle.dumps(DATA, 4)[:length]
    with pytest.raises(WeightsError, match="is not a whole pickle"):
        load_pickled(write(tmp_path / "a.pkl", content))


def test_other_files_say_what_they_are(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))
    with pytest.raises(WeightsError, match=r"holds a plain array, float64 of shape \(2, 3\)"):
        load_pickled(tmp_path / "array.npy")
    np.savez(tmp_path / "a.npz", a=np.zeros(2))
    with pytest.raises(WeightsError, match="zip archive"):
        load_pickled(tmp_path / "a.npz")
    with pytest.raises(WeightsError, match="not a whole pickle"):
        load_pickled(write(tmp_path / "a.npy", b"\x93NUMPY\x01\x00\xff\xff"))
    with pytest.raises(ModelNotFoundError, match="There is no file"):
        load_pickled(tmp_path / "nothing.pkl")
