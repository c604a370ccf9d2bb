"""JSON from untrusted sources, read within bounds, so that every problem raises the same kind of error."""

import json
import re
from pathlib import Path
from typing import Any

from sslhsic_transfer._content import what_it_is_instead

DEEPEST = 64  # levels; later code (validation, messages, writing) recurses once for each level
LARGEST = 1 << 30  # bytes

# Strings, which may contain brackets, and brackets. An unterminated string is left to the parser.
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def parse_json(text: str | bytes, *, deepest: int = DEEPEST) -> Any:
    """Parse JSON.

    Args:
        text: the document; bytes are UTF-8, with or without a byte order mark.
        deepest: largest depth of nested lists and objects.

    Returns:
        Dictionaries, lists, texts, numbers, truth values and None.

    Raises:
        ValueError: the text is not JSON, or nested too deeply.
    """
    if isinstance(text, bytes | bytearray):
        text = text.decode("utf-8-sig")
    if text.count("[") + text.count("{") > deepest:
        _check_depth(text, deepest)
    try:
        return json.loads(text)
    except RecursionError as error:  # pragma: no cover - where the interpreter allows less than is asked for
        raise ValueError("lists or objects lie too deeply within one another") from error


def read_json(path: Path, *, largest: int = LARGEST, deepest: int = DEEPEST) -> Any:
    """Parse a JSON file.

    Args:
        path: the file.
        largest: largest size in bytes.
        deepest: largest depth of nested lists and objects.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is too large, not JSON, nested too deeply, or replaced by something else (a Git LFS
            pointer, a web page, nothing); the message says what, without the file's name.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has {path.stat().st_size} bytes; expected at most {largest}")
    if found := what_it_is_instead(content):
        raise ValueError(found)
    return parse_json(content, deepest=deepest)


def _check_depth(text: str, deepest: int) -> None:
    depth = 0
    for match in _MARKS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > deepest:
                raise ValueError(f"lists or objects lie more than {deepest} levels within one another")
        elif mark in "]}":
            depth -= 1
