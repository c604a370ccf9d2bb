"""Text files written by people: lists of files, class names, annotations, settings."""

import codecs
import re
from pathlib import Path
from typing import NoReturn

from sslhsic_transfer._content import what_it_is_instead
from sslhsic_transfer.errors import DataError, SSLHSICError

# Longer marks come first, because UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENDS = re.compile(r"\r\n|\r|\n")  # str.splitlines would also split at characters that are allowed in names
_JOINED_MARKS = re.compile(r"(^|[\r\n])\ufeff+")
_SHOWN = 60  # characters of a line that a message quotes
_LONGEST = 2000  # characters of a line of names


def read_text(path: Path, error: type[SSLHSICError] = DataError) -> str:
    """Read a text file: UTF-8 with or without a byte order mark, UTF-16 or UTF-32 with one.

    Byte order marks are left out, also at the start of later lines, where files that begin with one were joined.

    Args:
        path: the file.
        error: class of the error to raise.

    Raises:
        error: the file cannot be opened, has another encoding, or is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}.") from problem
    if content and (found := what_it_is_instead(content)):
        raise error(f"{path} cannot be read: {found}.")
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    content = content[len(mark) :]
    if not content and encoding != "utf-8":
        raise error(f"{path} holds the mark of {encoding} and nothing else.")
    if encoding == "utf-8" and b"\0" in content:
        _refuse_nul(path, content[: content.index(b"\0")].decode("latin-1"), error)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as problem:
        raise error(_undecodable(path, content, problem, marked=bool(mark))) from problem
    if "\0" in text:
        _refuse_nul(path, text[: text.index("\0")], error)
    text = _JOINED_MARKS.sub(r"\1", text) if "\ufeff" in text else text
    return text.rstrip("\x1a")  # DOS files end with Ctrl-Z


def read_lines(path: Path, error: type[SSLHSICError] = DataError) -> list[tuple[int, str]]:
    """Read the nonblank lines of a text file, stripped, each with its number counted from 1.

    Raises:
        error: as for `read_text`, or a line is too long for a file name.
    """
    found: list[tuple[int, str]] = []
    for number, line in enumerate(_ENDS.split(read_text(path, error)), start=1):
        if len(text := line.strip()) > _LONGEST:
            raise error(
                f"{path}, line {number} has {len(text)} characters and begins {text[:_SHOWN]!r}; expected names, at "
                f"most {_LONGEST} characters a line."
            )
        if text:
            found.append((number, text))
    return found


def _refuse_nul(path: Path, before: str, error: type[SSLHSICError]) -> NoReturn:
    line = len(_ENDS.findall(before)) + 1
    raise error(
        f"{path}, line {line} holds NUL bytes: it is UTF-16 without a byte order mark, or not text at all. Save it as "
        "UTF-8."
    )


def _undecodable(path: Path, content: bytes, problem: UnicodeDecodeError, *, marked: bool) -> str:
    if marked:
        return f"{path} is not the {problem.encoding} text that its first bytes announce. Save it as UTF-8."
    before = content[: problem.start]
    line = len(re.findall(rb"\r\n|\r|\n", before)) + 1
    start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
    whole = re.split(rb"[\r\n]", content[start:], maxsplit=1)[0]
    try:
        guess = whole.decode("cp1252").strip()
    except UnicodeDecodeError:
        guess = ""
    would_read = f"; as Windows' cp1252 it reads {guess[:_SHOWN]!r}" if guess.isprintable() and guess else ""
    return (
        f"{path}, line {line} is not UTF-8 (byte 0x{content[problem.start]:02x}){would_read}. Save the file as UTF-8, "
        "such as by `iconv -f CP1252 -t UTF-8 FILE > NEW`."
    )
