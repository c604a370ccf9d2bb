import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslhsic_transfer._json import parse_json, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=VALUES)
def test_what_json_writes_is_read(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(text=st.text(alphabet='[]{}",:\\ 1a\n', max_size=200))
def test_any_text_is_a_value_or_a_value_error(text):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            parse_json(text)
    else:
        assert parse_json(text) == expected


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"[":'])
def test_depth(opening):
    each = opening.count("[") - ("[" in opening[1:]) * 1 + opening.count("{") if opening == '[{"[":' else 1
    for levels in (65, 1000, 1_000_000):
        with pytest.raises(ValueError, match="levels within one another"):
            parse_json(opening * (levels // each + 1))
    assert parse_json("[" * 64 + "]" * 64) is not None
    assert parse_json(json.dumps(["[" * 10_000, "{\\" * 500])) == ["[" * 10_000, "{\\" * 500]
    assert len(parse_json("[" + "[]," * 5000 + "[]]")) == 5001
    with pytest.raises(ValueError, match="more than 3 levels"):
        parse_json("[[[[]]]]", deepest=3)


def test_files(tmp_path):
    path = tmp_path / "a.json"
    for content, words in (
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"<html></html>", "it is a web page"),
        (b"[" + b" " * 200 + b"]", "it has 202 bytes; expected at most 100"),
        (b"\xff", "utf-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_json(path, largest=100)
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]
    with pytest.raises(OSError, match=r"b\.json"):
        read_json(tmp_path / "b.json")
