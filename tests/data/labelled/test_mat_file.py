"""Matlab 5 files as SciPy writes and reads them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from sslhsic_transfer.data.labelled.mat_file import read_numbers
from sslhsic_transfer.errors import DataError

KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
NUMBERS = st.sampled_from(KINDS).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4))
)


@settings(max_examples=60, deadline=None)
@given(first=NUMBERS, second=NUMBERS, compressed=st.booleans())
def test_reads_what_scipy_reads(first, second, compressed, tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "some.mat"
    savemat(path, {"trainNdxs": first, "x": second, "word": "text", "cell": [1, "a"]}, do_compression=compressed)
    found, expected = read_numbers(path), loadmat(path)
    assert {"trainNdxs", "x"} <= set(found) <= {name for name in expected if not name.startswith("__")}
    for name in ("trainNdxs", "x"):
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype.kind == expected[name].dtype.kind


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html></html>" + b" " * 200, "web page"),
        (b"x" * 200, "its header is not that of Matlab 5"),
    ],
)
def test_other_files(content, told, tmp_path):
    path = tmp_path / "splits.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"splits\.mat cannot be read as a Matlab file: .*{told}"):
        read_numbers(path)


def test_a_bomb_and_a_cut_file(tmp_path):
    path = tmp_path / "splits.mat"
    savemat(path, {"trainNdxs": np.zeros((40, 1 << 20), np.uint8)}, do_compression=True)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="takes more than 16777216 bytes"):
        read_numbers(path)
    savemat(path, {"trainNdxs": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="it ends within an array"):
        read_numbers(path)
