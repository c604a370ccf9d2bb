import codecs
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.text_files import read_lines, read_text

MARKS = {
    "utf-8": b"",
    "utf-8-sig": b"",  # the codec writes its mark itself
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff\x1a"), min_size=1)


def written(path, text, encoding="utf-8"):
    path.write_bytes(MARKS.get(encoding, b"") + text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_that_say_what_they_are_are_read_alike(tmp_path, encoding, end):
    path = written(tmp_path / "list.txt", f"straße{end}{end}  日本 1 {end}", encoding)
    assert read_lines(path) == [(1, "straße"), (3, "日本 1")]


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(WORDS, min_size=1, max_size=4), encoding=st.sampled_from(sorted(MARKS)))
def test_any_text_comes_back(tmp_path_factory, lines, encoding):
    path = written(tmp_path_factory.mktemp("text") / "list.txt", "\n".join(lines), encoding)
    assert read_text(path) == "\n".join(lines)
    assert [text for _, text in read_lines(path)] == [line.strip() for line in lines if line.strip()]


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_text_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "list.txt"
    path.write_bytes(content)
    with suppress(DataError):
        text = read_text(path)
        assert "\0" not in text
        assert not any(line.startswith("\ufeff") for line in text.split("\n"))


def test_joined_files_leave_no_marks(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"".join("a\r\nb\r\n".encode("utf-8-sig") for _ in range(2)) + b"\x1a")
    assert read_lines(path) == [(1, "a"), (2, "b"), (3, "a"), (4, "b")]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"road\r\nstra\xdfe\r\n", r"list\.txt, line 2 is not UTF-8 \(byte 0xdf\); as Windows' cp1252 .* 'straße'"),
        ("a\nä\n".encode("utf-16-le"), r"line 1 holds NUL bytes: it is UTF-16 without a byte order mark"),
        (
            b"<!DOCTYPE html>\n<html>404</html>",
            r"list\.txt cannot be read: .*it is a web page; download the file itself",
        ),
        (b"a\nb\0\n", r"line 2 holds NUL bytes"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", r"line 3 holds NUL bytes"),
        (b"\x89\xff\x90", r"line 1 is not UTF-8 \(byte 0x89\)\. Save"),
        (codecs.BOM_UTF16_LE, r"list\.txt holds the mark of utf-16-le and nothing else"),
        (codecs.BOM_UTF16_LE + b"a", r"is not the utf-16-le text that its first bytes announce"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", r"Git LFS pointer, .*`git lfs pull`"),
    ],
)
def test_what_is_not_utf8_is_named_with_its_line(tmp_path, content, found):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=found):
        read_lines(path)
    with pytest.raises(ConfigError, match=found):
        read_text(path, ConfigError)


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(DataError, match=r"list\.txt cannot be read: No such file"):
        read_text(tmp_path / "list.txt")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_text(tmp_path)
